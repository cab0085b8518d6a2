"""The languages whose answers can be run. Each is a module with the functions of `Language`."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from self_instruct.records import Record
from self_instruct.rules.execution import python, regex, shell, sql
from self_instruct.rules.options import LANGUAGE_NAMES


class Language(Protocol):
    """How answers in a language are found, tested and changed. All tests are Python asserts."""

    @property
    def EXAMPLES(self) -> tuple[tuple[str, str, str], ...]:
        """Tasks, signatures and tests to show to a model."""

    def wants(self, task: str) -> bool:
        """Return whether a task asks for an answer in this language."""

    def code_of(self, task: str, output: str) -> str | None:
        """Return the code of an answer, or None if it has none that can be tested."""

    def signatures(self, code: str) -> str:
        """Return what tests may use: Python signatures, and the names in the code that tests must provide."""

    def names(self, code: str) -> set[str]:
        """Return the names that `module` defines, of which a test uses at least one."""

    def module(self, code: str) -> str:
        """Return a Python module that defines the names."""

    def trivial(self, code: str) -> list[str]:
        """Return versions of the code that do nothing, which tests must reject."""

    def mutants(self, code: str, limit: int) -> list[str]:
        """Return at most `limit` copies of the code with one change each."""


_MODULES: tuple[Language, ...] = (python, sql, shell, regex)
LANGUAGES: Mapping[str, Language] = dict(zip(LANGUAGE_NAMES, _MODULES, strict=True))

_ASKS_ABOUT = re.compile(
    r"\W{0,20}(?:explain|describe|discuss|outline|tell|name|why|who|is|are|does|"
    r"(?:what|how)(?:'s| is| are| do| does| did| can))\b",
    re.IGNORECASE,
)
"""Matches the beginning of a task that asks for words about code."""


def code_in(record: Record, languages: Sequence[str]) -> tuple[str, str] | None:
    """Return the first of the languages in which an answer has code that can be tested, and this code; else None."""
    found = ((name, LANGUAGES[name].code_of(record.task, record.output)) for name in languages)
    return next(((name, code) for name, code in found if code is not None), None)


def asks_for_code(record: Record, languages: Sequence[str]) -> bool:
    """Return whether a task names one of the languages, unless it begins with a word that asks for an explanation."""
    return _ASKS_ABOUT.match(record.task) is None and any(LANGUAGES[name].wants(record.task) for name in languages)
