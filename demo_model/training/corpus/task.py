"""The task record, and which (verb, object) pairs are kept out of training.

The families of tasks define their wording and code.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HELD_OUT_SHARE = 0.10
HELD_OUT_SALT = "demo-corpus-1"


@dataclass(frozen=True)
class Meaning:
    """The meaning of a task, apart from its wording.

    `expected` computes the right answer for one tuple of arguments; `cases` are argument tuples to try. Where the task
    has one right text instead (SQL, shell, regex, small classes), `answer` is that text.
    """

    verb: str
    object: str
    expected: Callable[..., Any] | None = None
    cases: tuple[tuple[Any, ...], ...] = ()
    answer: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        return (self.verb, self.object)


@dataclass(frozen=True)
class Task:
    """One task with its answer. `language` is "python" only if `output` is Python that compiles."""

    family: str
    instruction: str
    output: str
    meaning: Meaning
    input: str = ""
    language: str = "python"
    extra: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def pair(self) -> tuple[str, str]:
        return self.meaning.pair


def is_held_out(pair: tuple[str, str]) -> bool:
    """Whether the pair is kept from training: a fixed tenth, by hash, so that no list has to be stored."""
    digest = hashlib.sha256("\x1f".join((HELD_OUT_SALT, *pair)).encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def pick(rng: random.Random, options: str) -> str:
    """One of the alternatives separated by '|': the notation of every phrase table here."""
    return rng.choice(options.split("|"))
