"""The command as it was typed: for usage lines, and for the commands that a person may run next."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_LAUNCHERS = ("accelerate", "torchrun", "accelerate.commands.launch", "torch.distributed.run", "deepspeed")


def command_line() -> list[str]:
    """Return the command that starts this process again: launcher or interpreter, script or `-m MODULE`, arguments.

    A launcher such as `accelerate launch` is the parent process, which was given the script and the same arguments.
    """
    launched = _launched(_parent_command())
    if launched:
        return launched
    module, script = _module(sys.argv[0]), Path(sys.argv[0])
    if not module and len(script.parts) > 1 and script.absolute().parent == Path(sys.executable).parent:
        return list(sys.argv)  # installed beside the interpreter, which its first line names
    return [sys.executable, *(["-m", module] if module else sys.argv[:1]), *sys.argv[1:]]


def other_command(name: str, *arguments: object) -> str:
    """Return another command of this package for a shell, starting with the installed program if that was typed."""
    typed = [sys.argv[0]] if Path(sys.argv[0]).stem == "self-instruct" else [sys.executable, "-m", "self_instruct"]
    return shlex.join([*typed, name, *map(str, arguments)])


def with_option(words: Sequence[str], flags: Sequence[str], value: object) -> list[str]:
    """Return a command with an option set to one value: replaced where it is given under any of its `flags`, else added."""
    kept, skipped = list[str](), False
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        value_of_option = skipped and not word.startswith("--")
        skipped = word in flags
        if not (skipped or value_of_option or word.partition("=")[0] in flags):
            kept.append(word)
    return [*kept, flags[0], str(value), *words[end:]]


def other_threshold(threshold: float) -> float:
    """Return a different threshold to suggest: a lower one if that is above 0."""
    lower = round(threshold - 0.1, 2)
    if lower > 0:
        return lower
    return round(threshold / 2, 4) if threshold > 0 else round(threshold + 0.1, 2)


def program(argv: list[str]) -> str:
    """Return the command before the arguments `argv`, with a module of this package as `python -m NAME`."""
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


def _parent_command() -> list[str]:
    import psutil

    try:
        parent = psutil.Process().parent()
        return parent.cmdline() if parent else []
    except psutil.Error:
        return []


def _launched(parent: list[str]) -> list[str]:
    """Return the parent's command if it is a launcher that started this process, else an empty list."""
    arguments = sys.argv[1:]
    before = parent[: len(parent) - len(arguments)]
    module = _module(sys.argv[0])
    same = parent[len(before) :] == arguments and before[-1:] in ([sys.argv[0]], [module])
    at = next((at for at, word in enumerate(before[:3]) if Path(word).name in _LAUNCHERS), None)
    if not same or at is None:
        return []
    # A launcher's script runs as `python /bin/accelerate ...`; it was typed without the interpreter.
    return parent[at:] if before[at - 1] != "-m" else parent
