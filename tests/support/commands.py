"""Commands called in the test's own process."""

import contextlib
import io
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from self_instruct import commands
from self_instruct.commands import MODULES


class Called(NamedTuple):
    """The exit code of a command and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def called(name: str, *words: object) -> Called:
    """Run a command as the program does, with its messages for errors."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            commands.run_command(name, [str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Called(code, out.getvalue(), err.getvalue())


def run_command(argv: Sequence[str]) -> int:
    """Run the command that the first argument names, and return its exit code."""
    return import_module(f"self_instruct.commands.{MODULES.get(argv[0], argv[0])}").main(argv[1:])
