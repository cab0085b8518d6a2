"""Texts that make an ambiguous pattern backtrack, and a check that a function takes linear time for them."""

import ast
import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

SMALL, LARGE = 500, 2_000
_UNITS = (
    "a", "1", " ", "\n", "\t", "###", "###\n", "(", ")", "[", "]", "{", "}", "'", '"', "`", "```", "```\n", ".", "a.", "1.",
    ",", "1,", ":", "=", "1=", "-", "*", "_",
    "__ ", "…", "“", "\u0663", "²", "ß", "\u0130", "word ", "- 1 = ", "(1+", "A) ",
    "a b ", "Output:\n", "1. Instruction:\n", "\n \n", "\\", "~", "|", "<", ">", "http://a ", "é", "\x85", "\u2028",
    "\r", "if x:\n ", "try: ", "import a.", "' '", "? ", "a. ", "**", "/",
)  # fmt: skip
_MOST = 9.0


def units(modules: Iterable[ModuleType]) -> Iterator[str]:
    """Yield short texts to repeat: general ones, and each word in a string constant of the modules."""
    words = dict.fromkeys(
        word
        for module in modules
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n    " not in node.value
        for word in re.findall(r"[A-Za-z']{2,}", re.sub(r"\\.", " ", node.value))
    )
    yield from _UNITS
    for word in words:
        yield f"{word} "


def repeated(unit: str, size: int) -> str:
    """Return a text of that size that repeats the unit."""
    return (unit * (size // len(unit) + 1))[:size]


def search_often(size: int) -> None:
    """Search texts of that size by a pattern that takes quadratic time; for `LARGE` this takes 20 times `_shortest()`."""
    for _ in range(10):
        re.search("a+b", repeated("a", size))


def grows_too_fast(work: Callable[[int], object]) -> float | None:
    """Return how many times longer `work` takes for `LARGE` than for a quarter of it, if that is over nine times; else None.

    Linear work takes four times as long, quadratic work sixteen times. The smallest ratio of CPU times in three tries counts.
    Work that takes less than `_shortest()` for the large size is not compared.
    """
    for _ in range(3):
        large = _seconds(work, LARGE)
        if large < _shortest():
            return None
        growth = large / max(_shortest() / _MOST, min(_seconds(work, SMALL) for _ in range(2)))
        if growth < _MOST:
            return None
    return growth


@functools.cache
def _shortest() -> float:
    """Return half of the CPU seconds of a search for `a+b` in `LARGE` letters, so that a fast machine compares as much."""
    return min(_seconds(search_often, LARGE) for _ in range(3)) / 20


def _seconds(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started
