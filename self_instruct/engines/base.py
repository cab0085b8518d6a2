"""The interface of engines: requests go in, and completions come out as they finish, in any order."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from self_instruct.config.thought_tags import thought_tags

FinishReason = Literal["stop", "length", "repetition", "error"]
CUT = ("length", "repetition")
"""Finish reasons of a text that was cut off: its last block may be incomplete."""
_OF_THOUGHTS = ("reasoning", "reasoning_tokens")


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled. `temperature` 0 is greedy; `top_k` 0, `min_p` 0 and penalties of 0 are off.

    With `stop_repetition`, a text that has become a loop ends early (repetition.py).
    """

    max_new_tokens: int
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    min_p: float = 0.0
    stop_repetition: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True)
class Request:
    """One prompt to complete. The completion continues `opening` and ends before any text of `stop`.

    `seed` determines the request's random numbers, independently of other requests. `sampling` replaces the engine's sampling
    for this request. `system` is the system message before the prompt, for models with a chat template. A `raw` prompt is
    already rendered: no chat template is applied, and no special tokens are added.
    """

    index: int
    prompt: str
    opening: str
    stop: tuple[str, ...]
    seed: str
    sampling: Sampling | None = None
    system: str | None = None
    raw: bool = False

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Request":
        """Restore a request from its `dataclasses.asdict` after a round trip through JSON."""
        sampling = Sampling(**row["sampling"]) if row["sampling"] else None
        return cls(**{**row, "stop": tuple(row["stop"]), "sampling": sampling})


@dataclass(frozen=True)
class Usage:
    """Tokens counted by a server, or `estimated` if it reported none."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True)
class Completion:
    """The result of a request: the text after its opening, without the stop text. Counts are in tokens.

    The text holds the model's thoughts, with their marks; `reasoning` is a thought that a server returned beside the text.
    `reasoning_tokens` counts the tokens of all thoughts, None if they were not counted.

    If `finish_reason` is "error", `error` says why there is no text. `created_at` is UTC, ISO 8601. `usage` is what a server
    counted, failed attempts included; of several completions that share a prompt, the first carries the prompt's tokens.
    """

    request: int
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    rank: int = 0
    created_at: str | None = None
    error: str | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True)
class Hardware:
    """What a model runs on. `devices` counts accelerators, 0 on a CPU. `taken` is peak memory, `memory` total, in bytes."""

    name: str
    devices: int
    taken: int
    memory: int


class EngineLost(Exception):
    """The engine has failed, for the reason in the message. Completions that finished before can still be polled."""


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the tokens of prompts for a model, without loading its weights."""

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and completion together; None if there is no limit."""

    @property
    def capacity(self) -> int | None:
        """Most requests that can be answered; None if there is no limit."""

    @property
    def model_revision(self) -> str:
        """The version of the model."""

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of tokens in a prompt as the model reads it; `system` and `raw` are those of the request."""


@dataclass(frozen=True)
class UserTurn:
    """The text of a rendered chat up to the user's own words, and a text with which the template ends them."""

    prefix: str
    stop: str


@runtime_checkable
class TurnReader(Protocol):
    """Knows a model's chat template. `chats` says whether prompts are rendered with it."""

    @property
    def chats(self) -> bool:
        """Whether prompts are rendered with a chat template."""

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return what stands around a user's words. Raises UserError if they cannot be told from what follows them."""


@dataclass(frozen=True)
class WordCounter:
    """A `TokenCounter` that counts words, for engines without a tokenizer and without a limit."""

    model_revision: str = "unknown"
    context_length: int | None = None
    capacity: int | None = None

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of words in the prompt."""
        return len(f"{system or ''} {prompt}".split()) + len(opening.split())


class Engine(Protocol):
    """Completes prompts. `submit` never waits; `poll` waits for at least one completion and returns all that have finished."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. Each ends in exactly one completion unless the engine is interrupted."""

    def poll(self) -> list[Completion]:
        """Return the completions that finished since the last call: none only if nothing is pending or on interruption.

        Raises EngineLost if no more completions will come.
        """

    def interrupt(self) -> None:
        """Make a running `poll` return soon with the finished completions. Safe to call from a signal handler."""

    def close(self) -> None:
        """Free the device and drop pending requests."""


class ModelEngine(Engine, Protocol):
    """An engine that holds a model, or replays one, in this process."""

    @property
    def model_revision(self) -> str:
        """The version of the model."""

    @property
    def rows(self) -> int:
        """Most requests processed at a time."""

    @property
    def hardware(self) -> Hardware:
        """What the model runs on."""

    @property
    def method(self) -> str:
        """What draws the tokens, and why nothing else does, for people; empty if there was no choice."""


def timestamp() -> str:
    """Return the time in UTC, or the time in SOURCE_DATE_EPOCH if set, which makes runs reproducible byte for byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def with_thoughts(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a completion in a journal, without fields for thoughts if it has none."""
    return {name: value for name, value in row.items() if value is not None or name not in _OF_THOUGHTS}


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the first stop text in it, and whether there was one. Stop texts in a thought at the beginning
    do not count.
    """
    if not any(word in text for word in stop):
        return text, False
    begins = thought_tags().split(text).begins
    found = [position for position in (text.find(word, begins) for word in stop) if position >= 0]
    return (text[: min(found)], True) if found else (text, False)
