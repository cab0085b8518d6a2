"""The data that passes between stages: records, drops, and one JSON line for each.

Knows the shape of a record and how it is written as one line of JSON. Knows nothing of models, prompts or files.
"""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """A task with its answer: a seed task, or one that the model wrote.

    `depth` counts generations: 0 for a seed task, otherwise one more than the deepest demonstration it was written from.
    """

    id: str
    instruction: str
    input: str
    output: str
    depth: int = 0

    @property
    def task(self) -> str:
        """The instruction with its input, one text, as a model without an input field reads it."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


@dataclass(frozen=True)
class Nearest:
    """The closest earlier record: its id and the score (ROUGE-L F1 or cosine, by context)."""

    id: str
    score: float


@dataclass(frozen=True)
class Drop:
    """Why a candidate was not kept: the stage that decided, its reason in one word, and what it saw."""

    stage: str
    reason: str
    detail: str = ""
    nearest: Nearest | None = None


def record_id(request: int, position: int) -> str:
    """The id of the candidate at a position (from 1) of a request's completion; sorts in commit order."""
    return f"{request:06d}-{position:02d}"


def json_line(row: dict[str, Any]) -> bytes:
    """One UTF-8 JSON line. Text that UTF-8 cannot hold (lone surrogates) is written with \\u escapes instead."""
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(row) + "\n").encode("ascii")
