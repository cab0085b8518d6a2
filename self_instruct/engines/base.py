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
UNANSWERED = "requests could not be answered"
"""Part of the reason for the stop after too many errors in a row."""
_THOUGHT_FIELDS = ("reasoning", "reasoning_tokens")


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled. `temperature` 0 is greedy; `top_k` 0, `min_p` 0 and penalties of 0 are off.

    With `stop_repetition`, a text that has become a loop ends early (repetition.py). With `constrain`, some requests have a
    pattern.
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
    constrain: bool = False


@dataclass(frozen=True)
class Request:
    """One prompt to complete. The completion continues `opening` and ends before any text of `stop`.

    `seed` determines the request's random numbers, independently of other requests. `sampling` replaces the engine's sampling
    for this request. `system` is the system message before the prompt, for models with a chat template. A `raw` prompt is
    already rendered: no chat template is applied, and no special tokens are added. `pattern` is a regular expression that the
    whole completion must match, unless it is cut off; it is None or one that all engines read in the same way. `schema` is a
    JSON schema, as text, for the same content; servers that know only schemas enforce it in place of the pattern.
    """

    index: int
    prompt: str
    opening: str
    stop: tuple[str, ...]
    seed: str
    sampling: Sampling | None = None
    system: str | None = None
    raw: bool = False
    pattern: str | None = None
    schema: str | None = None

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

    The text includes the model's thoughts and the marks around them; `reasoning` is a thought that a server returned in a
    field of its own. `reasoning_tokens` counts the tokens of all thoughts; None if they were not counted.

    If `finish_reason` is "error", `error` says why there is no text. `created_at` is UTC, ISO 8601. `usage` holds the tokens
    that a server counted, including failed attempts; if completions share a prompt, only the first includes its tokens.
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
        """The maximum number of tokens in prompt and completion together; None if there is no limit."""

    @property
    def capacity(self) -> int | None:
        """The maximum number of requests that can be answered; None if there is no limit."""

    @property
    def model_revision(self) -> str:
        """The version of the model."""

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of tokens in a prompt as the model reads it; `system` and `raw` are those of the request."""


@dataclass(frozen=True)
class UserTurn:
    """`prefix` is the rendered chat before the user's text; `stop` is a text with which the template ends the user's turn."""

    prefix: str
    stop: str


@runtime_checkable
class TurnReader(Protocol):
    """Reads a model's chat template."""

    @property
    def chats(self) -> bool:
        """Whether prompts are rendered with a chat template."""

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return the template's text around the user's text. Raises UserError if nothing marks the end of the user's turn."""


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
        """The maximum number of requests processed at a time."""

    @property
    def hardware(self) -> Hardware:
        """The devices that the model runs on."""

    @property
    def method(self) -> str:
        """The library or back-end that draws the tokens, and why not another, as text; empty if there was no choice."""


def timestamp() -> str:
    """Return the time in UTC, or the time in SOURCE_DATE_EPOCH if set, which makes runs reproducible byte for byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def with_thoughts(row: dict[str, Any]) -> dict[str, Any]:
    """Return a completion as a row of a journal. Fields for thoughts are omitted if they are None."""
    return {name: value for name, value in row.items() if value is not None or name not in _THOUGHT_FIELDS}


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the text before its first stop text, and whether it has one. Ignore stop texts in a thought at the beginning."""
    if not any(word in text for word in stop):
        return text, False
    begins = thought_tags().split(text).begins
    found = [position for position in (text.find(word, begins) for word in stop) if position >= 0]
    return (text[: min(found)], True) if found else (text, False)
