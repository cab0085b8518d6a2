"""Texts that make an ambiguous pattern backtrack, and a check that a function takes linear time for them."""

import ast
import inspect
import re
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

SMALL, LARGE = 400, 1_600
_UNITS = (
    "a", "1", " ", "\n", "\t", "###", "###\n", "(", ")", "[", "]", "{", "}", "'", '"', "`", "```", "```\n", ".", "a.", "1.",
    ",", "1,", ":", "=", "1=", "-", "*", "_",
    "__ ", "…", "“", "\u0663", "²", "ß", "\u0130", "word ", "- 1 = ", "(1+", "A) ",
    "a b ", "Output:\n", "1. Instruction:\n", "\n \n", "\\", "~", "|", "<", ">", "http://a ", "é", "\x85", "\u2028",
    "\r", "if x:\n ", "try: ", "import a.", "' '", "? ", "a. ", "**", "/",
)  # fmt: skip
_MOST = 9.0
_SHORTEST = 0.0015


def units(modules: Iterable[ModuleType]) -> Iterator[str]:
    """Yield short texts to repeat: general ones, and each word in a string of the modules that is no docstring."""
    words = dict.fromkeys(
        word
        for module in modules
        for text in _strings(ast.parse(inspect.getsource(module)))
        for word in re.findall(r"[A-Za-z']{2,}", re.sub(r"\\.", " ", text))
    )
    yield from _UNITS
    for word in words:
        yield f"{word} "


def _strings(tree: ast.Module) -> Iterator[str]:
    """Yield the strings of a module, except those that are statements: docstrings, which no pattern contains."""
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.value


def repeated(unit: str, size: int) -> str:
    """Return a text of that size that repeats the unit."""
    return (unit * (size // len(unit) + 1))[:size]


def grows_too_fast(work: Callable[[int], object], clock: Callable[[], float] = time.process_time) -> float | None:
    """Return how many times longer `work` takes for `LARGE` than for a quarter of it, if that is over nine times; else None.

    Linear work takes four times as long, quadratic work sixteen times. The smallest ratio in three tries counts, so that a
    pause of the machine does not look like growth. Work that takes less than `_SHORTEST` seconds for `LARGE` is not compared.
    """
    for _ in range(3):
        large = _seconds(work, LARGE, clock)
        if large < _SHORTEST:
            return None
        for _ in range(2):
            growth = large / max(_SHORTEST / _MOST, _seconds(work, SMALL, clock))
            if growth < _MOST:
                return None
    return growth


def _seconds(work: Callable[[int], object], size: int, clock: Callable[[], float]) -> float:
    started = clock()
    work(size)
    return clock() - started
