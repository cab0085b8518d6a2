"""The data passed between stages (records, drops, prompts), and how a row is written as a JSON line."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """A task with its answer: a seed task or a generated one.

    `depth` counts generations: 0 for a seed task, otherwise one more than the deepest demonstration it was written from.
    `conversation` is the text of all turns of a conversation longer than one question and answer; otherwise empty.
    """

    id: str
    instruction: str
    input: str
    output: str
    depth: int = 0
    conversation: str = ""

    @property
    def task(self) -> str:
        """The instruction and input as one text, for formats without an input field."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


@dataclass(frozen=True, slots=True)
class Nearest:
    """The closest earlier record: its id and the score (ROUGE-L F1 or cosine, by context)."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a candidate was dropped: the stage, the reason in one word, and details."""

    stage: str
    reason: str
    detail: str = ""
    nearest: Nearest | None = None


def record_id(request: int, position: int) -> str:
    """Return the id of a candidate: `request` and the `position` (from 1) in its completion. Ids sort in request order."""
    return f"{request:06d}-{position:02d}"


def json_line(row: dict[str, Any]) -> bytes:
    """Return one UTF-8 JSON line; text that UTF-8 cannot represent (lone surrogates) is written with \\u escapes."""
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        return (json.dumps(row) + "\n").encode("ascii")


@dataclass(frozen=True)
class Aim:
    """The purpose of a request: step 1 asks for new tasks, step 2 for the output of the task whose id is `answers`, step 3 for
    tests of its output.

    `category` is empty in a run without categories. `variables` fill in the category's prompt template, such as the topic.
    """

    category: str = ""
    step: int = 1
    answers: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """The prompt of a request, and the demonstrations in it.

    The prompt is `text` followed by `opening`, the start of block `number`, which the model continues.
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
        """Ids of the generated demonstrations, in the order shown."""
        return [record.id for record in self.demonstrations if record.depth > 0]

    @property
    def depth(self) -> int:
        """The depth of records generated from this prompt."""
        return 1 + max((record.depth for record in self.demonstrations), default=0)

    @property
    def sha256(self) -> str:
        """SHA-256 of the prompt before any chat template is applied."""
        return hashlib.sha256((self.text + self.opening).encode("utf-8", "surrogatepass")).hexdigest()


# Characters without a picture whose category is that of letters or symbols: Hangul fillers and the empty Braille pattern.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def is_blank(text: str) -> bool:
    """Return whether nothing of a text can be seen: white space, control and zero-width characters only."""
    return not (text[:1].isascii() and text[:1].isalnum()) and all(
        sign.isspace() or sign in _INVISIBLE or unicodedata.category(sign) in ("Cf", "Cc", "Mn") for sign in text
    )
