"""Check the answer to a task of known meaning: run it, or compare it with the one right text.

Runs code that a model wrote, with few builtins and a time limit. This stops accidents, not attacks: use it only for
the demonstration model, which was trained on nothing but the grammar.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from demo_model.training.corpus.task import Meaning

SECONDS = 2.0
ALLOWED = (
    "ValueError abs all any bool dict enumerate filter float int len list map max min next range reversed set sorted "
    "str sum tuple zip"
).split()
_PYTHON = re.compile(r"(?:def|class|assert|import|from|for|while|if|lambda)\b|@")
_OTHER = re.compile(r"(?:SELECT|UPDATE|DELETE|INSERT|grep|sed|tail|head|const)\b|\^|O\(")


class OutOfTime(Exception):
    """The code exceeded its time limit."""


def looks_like_python(output: str, instruction: str = "") -> bool:
    """Return whether the answer should be Python code, by its first word or because an expression was requested."""
    if _PYTHON.match(output):
        return True
    asked = re.search(
        r"\bexpression on\b|\b(?:one|which|single|an) expression\b|without `def`", instruction, re.IGNORECASE
    )
    return asked is not None and "regular" not in instruction and not _OTHER.match(output)


def compiles(output: str) -> bool:
    try:
        ast.parse(output)
    except (SyntaxError, ValueError):
        return False
    return True


def is_right(meaning: Meaning, instruction: str, output: str) -> bool | None:
    """Return whether the answer is right; None if this task cannot be checked."""
    if meaning.answer:
        return output.strip() == meaning.answer
    if meaning.expected is not None and (given := _list_in(instruction)) is not None:
        return compiles(output) and output.strip() == repr(meaning.expected(given))
    if meaning.expected is None or not looks_like_python(output, instruction) or output.startswith("assert"):
        return None
    if not compiles(output):
        return False
    try:
        with _time_limit():
            function = _load(output, instruction)
            return function is not None and all(
                _agrees(function, meaning, case, instruction) for case in meaning.cases
            )
    except Exception:  # a wrong answer can raise anything
        return False


def _list_in(instruction: str) -> list[object] | None:
    """Return the list at the end of the instruction, for tasks that ask for the result instead of code."""
    try:
        value = ast.literal_eval(instruction.rpartition("\n")[2])
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, list) else None


def _load(output: str, instruction: str) -> Callable[..., object] | None:
    """Return the answer as a function; None if the instruction asked for another name."""
    scope: dict[str, object] = {"__builtins__": {name: getattr(builtins, name) for name in ALLOWED}}
    tree = ast.parse(output)
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        named = [name for name in re.findall(r"`(\w+)`", instruction) if name != "def"]
        code = f"lambda {named[0]}: ({output})" if named else "None"
        return eval(code, scope)
    exec(output, scope)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    asked = re.findall(r"`(?:def )?(\w+)(?:\(\w*\):?)?`", instruction)
    if not names or ("_" in "".join(asked) and names[-1] not in asked):
        return None
    return scope[names[-1]]  # type: ignore[return-value]


def _agrees(function: Callable[..., object], meaning: Meaning, case: tuple[object, ...], instruction: str) -> bool:
    assert meaning.expected is not None
    wanted = meaning.expected(*copy.deepcopy(case))
    try:
        got = function(*copy.deepcopy(case))
        if hasattr(got, "__next__"):
            got = list(got)  # type: ignore[call-overload]
    except ValueError:
        return "ValueError" in instruction and not case[0]
    if "ValueError" in instruction and not case[0]:
        return False
    if isinstance(wanted, float) and isinstance(got, int | float):
        return abs(wanted - got) < 1e-9
    return bool(got == wanted)


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
