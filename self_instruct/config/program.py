"""The command as it was typed: for usage lines, and for the commands that a person may run next."""

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def command_line() -> list[str]:
    """Return the words that start this process again: the interpreter, the script or `-m MODULE`, the arguments."""
    module = _module(sys.argv[0])
    return [sys.executable, *(["-m", module] if module else sys.argv[:1]), *sys.argv[1:]]


def program(argv: list[str]) -> str:
    """Return what was typed before the arguments `argv`; a module of this package by its name."""
    typed = sys.argv[: -len(argv)] if argv and sys.argv[-len(argv) :] == argv else sys.argv[:1]
    module = _module(typed[0])
    return " ".join([f"python -m {module}" if module else Path(typed[0]).name, *typed[1:]])


def _module(script: str) -> str:
    """The name by which `python -m` runs a script of this package; empty for other scripts."""
    path = Path(script).absolute()
    if not path.is_relative_to(_PACKAGE):
        return ""
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part not in ("__main__", "shims"))
