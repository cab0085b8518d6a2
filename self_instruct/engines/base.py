"""The seam between the loop and whatever generates: requests go in, completions come out as they finish, in any order."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is greedy, `top_k` and `min_p` 0 are off; `max_new_tokens` bounds a completion."""

    max_new_tokens: int
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    min_p: float = 0.0


@dataclass(frozen=True)
class Request:
    """One prompt to complete. The completion goes on from `opening` and ends, at the latest, before any text of `stop`.

    `seed` decides the request's random numbers, whatever else is generated beside it. `sampling` takes the place of the
    engine's own, for this request alone.
    """

    index: int
    prompt: str
    opening: str
    stop: tuple[str, ...]
    seed: str
    sampling: Sampling | None = None

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Request":
        """The request whose `dataclasses.asdict` has been through JSON."""
        sampling = Sampling(**row["sampling"]) if row["sampling"] else None
        return cls(**{**row, "stop": tuple(row["stop"]), "sampling": sampling})


@dataclass(frozen=True)
class Usage:
    """Tokens that a server counted; `estimated` where it told none and they were estimated."""

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
    """What came of a request: the text after its opening, without the stop text. Counts are in tokens.

    `error` says why there is no text, when `finish_reason` is "error". `created_at` is UTC, ISO 8601. `usage` is what a server
    counted for it, lost attempts included; of completions that share a prompt, the first has the prompt's.
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


@dataclass(frozen=True)
class Hardware:
    """What a model runs on. `devices` are accelerators, 0 on a CPU. Memory is in bytes: taken at most, and there in all."""

    name: str
    devices: int
    taken: int
    memory: int


class EngineLost(Exception):
    """What generates has broken down; the message says what. Completions that came before can still be polled."""


@runtime_checkable
class TokenCounter(Protocol):
    """What composing prompts needs to know of a model. Loads no weights."""

    @property
    def context_length(self) -> int | None:
        """Tokens of prompt and completion together that the model can hold; None when there is no limit."""

    @property
    def capacity(self) -> int | None:
        """How many requests can be answered at all; None when there is no limit."""

    @property
    def model_revision(self) -> str:
        """Which version of the model answers."""

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """The length of a prompt as the model reads it, in tokens."""


@dataclass(frozen=True)
class WordCounter:
    """A `TokenCounter` that counts words, for engines that have no tokenizer at hand and no limit."""

    model_revision: str = "unknown"
    context_length: int | None = None
    capacity: int | None = None

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """Words of the prompt."""
        return len(prompt.split()) + len(opening.split())


class Engine(Protocol):
    """Generates. Submitting never waits; `poll` waits for at least one completion and returns all that have finished."""

    def submit(self, requests: Sequence[Request]) -> None:
        """Hands over requests; each ends in exactly one completion unless the engine is interrupted."""

    def poll(self) -> list[Completion]:
        """The completions that have finished since the last call; empty only if nothing is pending or on interruption.

        Raises `EngineLost` when no more will come.
        """

    def interrupt(self) -> None:
        """Makes the `poll` under way return soon with what is whole. Safe to call from a signal handler."""

    def close(self) -> None:
        """Frees the device. What is pending is given up."""


class ModelEngine(Engine, Protocol):
    """An engine that holds a model, or stands for one, in this process."""

    @property
    def model_revision(self) -> str:
        """Which version of the model answers."""

    @property
    def rows(self) -> int:
        """How many requests it works on at a time."""

    @property
    def hardware(self) -> Hardware:
        """What it runs on."""


def timestamp() -> str:
    """Now in UTC, or the time in SOURCE_DATE_EPOCH where it is set, for runs that must not differ by a byte."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch and epoch.isdigit() else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop text in it, and whether there was one."""
    places = [at for at in (text.find(word) for word in stop) if at >= 0]
    return (text[: min(places)], True) if places else (text, False)
