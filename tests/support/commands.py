"""Commands called in the test's own process."""

from collections.abc import Sequence
from importlib import import_module

from self_instruct.commands import MODULES


def run_command(argv: Sequence[str]) -> int:
    """Run the command that the first argument names, and return its exit code."""
    return import_module(f"self_instruct.commands.{MODULES.get(argv[0], argv[0])}").main(argv[1:])
