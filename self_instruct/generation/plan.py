"""Compose the prompt of request i from the seed and the records of requests up to i - horizon.

This is the plan of a run from seed tasks, in which every request asks for tasks of the same kind. categories/plan.py has
the plan of a run from categories.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from self_instruct.engines.base import Request
from self_instruct.formats import RecordFormat
from self_instruct.generation import testing
from self_instruct.generation.answers import Answering, AnswerQueue
from self_instruct.generation.judging import Curator
from self_instruct.generation.testing import Testing
from self_instruct.records import Prompt, Record
from self_instruct.runs.journal import Entry


class Plan(Protocol):
    """Composes requests. The same request always has the same prompt, regardless of earlier requests.

    `horizon` is the number of requests that may be in flight at once.
    """

    horizon: int

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """Return the prompt of a request and the request. All requests up to `index - horizon` must have been decided."""

    def continues(self, index: int) -> bool:
        """Return whether a request asks the same as the one before it, so that it may be sent before the horizon allows it."""
        return False

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over the requests of earlier launches from the journal."""
        return None

    def ended(self) -> str | None:
        """Return why no further request is needed, or None to continue."""
        return None


class Composer(Protocol):
    """Composes the prompts that ask for new tasks."""

    @property
    def format(self) -> RecordFormat:
        """The format of the records."""

    def compose(self, request: int, pool: Sequence[Record]) -> Prompt:
        """Return the prompt of a request, given the records that it may show."""


@dataclass
class SeedPlan(Plan):
    """Asks for more tasks like the seed tasks, with seeds and records of the pool as demonstrations.

    Requests that share a prompt are consecutive and use the horizon of the first. `stop` returns the stop texts for the number
    of the open block; `system`, `raw` and `pattern` apply to the requests for new tasks. `queue` decides which requests
    answer a task or ask for tests instead, and `answering` and `testing` compose these. `without_tasks` returns why the model
    writes no tasks, or None.
    """

    composer: Composer
    curator: Curator
    seed: int
    horizon: int
    stop: Callable[[RecordFormat, int], tuple[str, ...]]
    num_return_sequences: int = 1
    system: str | None = None
    raw: bool = False
    queue: AnswerQueue | None = None
    answering: Answering = field(default_factory=Answering)
    without_tasks: Callable[[], str | None] = lambda: None
    pattern: str | None = None
    testing: Testing | None = None
    _latest: Prompt | None = None

    def __post_init__(self) -> None:
        self._queue = self.queue or AnswerQueue(self.horizon, self.num_return_sequences)

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """Return the prompt of a request and the request. It may share the prompt of an earlier request."""
        task, first, step = self._queue.turn(index)
        if task is not None:
            composer = self.testing if step == testing.STEP and self.testing is not None else self.answering
            return composer.ask(index, self.curator.waiting(task)[0], self.seed)
        if self._latest is None or self._latest.request != first:
            self._latest = self.composer.compose(first, self.curator.pool.before(first - self.horizon + 1))
        prompt = self._latest
        stop = self.stop(self.composer.format, prompt.number)
        seed = f"{self.seed}:{index}"
        return prompt, Request(
            index, prompt.text, prompt.opening, stop, seed, None, self.system, self.raw, self.pattern
        )  # fmt: skip

    def continues(self, index: int) -> bool:
        """Return whether a request answers the same task as the one before it."""
        return self._queue.continues(index)

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over from the journal which requests answer a task."""
        self._queue.resume(entries)

    def ended(self) -> str | None:
        """Return why the model writes no tasks at all, or None."""
        return self.without_tasks()


def numbered_stop(max_tasks: int, words: tuple[str, ...] | None) -> Callable[[RecordFormat, int], tuple[str, ...]]:
    """Return a function from the number of the open block to stop texts: the given words, or the heading of the block after
    `max_tasks` more. The heading starts a line and contains the trigger word, so that answers do not contain it by chance.
    """

    def stop(format: RecordFormat, number: int) -> tuple[str, ...]:
        return words if words is not None else ("\n" + format.open_block(number + max_tasks).rstrip(),)

    return stop
