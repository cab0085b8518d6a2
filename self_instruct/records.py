"""The data that passes between stages: records, drops, prompts, and one JSON line for each."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Aim:
    """What a request of a category is for: the step, 1 for new tasks and 2 for the answer to the candidate `answers`; and the
    variables that its prompt was composed with, the topic among them.
    """

    category: str
    step: int = 1
    answers: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """What a request sends, and from what it was composed.

    The model reads `text` and then `opening`, the beginning of block `number`, from which it goes on.
    """

    request: int
    text: str
    opening: str
    number: int
    demonstrations: tuple[Record, ...]
    aim: Aim | None = None

    @property
    def seed_ids(self) -> list[str]:
        """Ids of the demonstrations that are seed tasks, in the order shown."""
        return [record.id for record in self.demonstrations if record.depth == 0]

    @property
    def parent_ids(self) -> list[str]:
        """Ids of the demonstrations that the model wrote, in the order shown."""
        return [record.id for record in self.demonstrations if record.depth > 0]

    @property
    def depth(self) -> int:
        """The depth of records written from this prompt."""
        return 1 + max((record.depth for record in self.demonstrations), default=0)

    @property
    def sha256(self) -> str:
        """Hash of all that the model reads, before any chat template."""
        return hashlib.sha256((self.text + self.opening).encode("utf-8", "surrogatepass")).hexdigest()
