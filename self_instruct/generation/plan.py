"""Which prompt request i gets, from the seed and from what requests up to i - horizon gave.

This is the plan of a run from seed tasks: every request asks for more tasks of one kind. categories/plan.py has the plan of a
run from categories.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from self_instruct.engines.base import Request
from self_instruct.formats import RecordFormat
from self_instruct.generation.judging import Curator
from self_instruct.generation.prompts import PromptComposer
from self_instruct.records import Prompt
from self_instruct.runs.journal import Entry


class Plan(Protocol):
    """The same prompt for the same request, whatever was asked before and whenever it is asked.

    `horizon` is how many requests may be under way at once.
    """

    horizon: int

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """The prompt of a request, and the request itself. All requests up to `index - horizon` have been decided."""

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over the requests of earlier launches from the journal."""
        return None

    def ended(self) -> str | None:
        """Why nothing more is to be asked, by what was decided so far; None if there is more."""
        return None


@dataclass
class SeedPlan(Plan):
    """More of the seed tasks' kind, from demonstrations that are seeds and records of the pool.

    Requests that share a prompt follow each other, and go by the horizon of the first. `stop` gives the stop texts of a
    request whose open block has a given number.
    """

    composer: PromptComposer
    curator: Curator
    seed: int
    horizon: int
    stop: Callable[[RecordFormat, int], tuple[str, ...]]
    num_return_sequences: int = 1
    _latest: Prompt | None = None

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """The prompt of a request, which is that of the first request of those that share it."""
        first = index - index % self.num_return_sequences
        if self._latest is None or self._latest.request != first:
            self._latest = self.composer.compose(first, self.curator.pool.before(first - self.horizon + 1))
        prompt = self._latest
        stop = self.stop(self.composer.format, prompt.number)
        return prompt, Request(index, prompt.text, prompt.opening, stop, f"{self.seed}:{index}")


def numbered_stop(max_tasks: int, words: tuple[str, ...] | None) -> Callable[[RecordFormat, int], tuple[str, ...]]:
    """The stop texts of a request whose open block has a given number: the words given, or else the beginning of the block
    after `max_tasks` more. It is bound to the start of a line and to the trigger word, so that no answer holds it.
    """

    def stop(format: RecordFormat, number: int) -> tuple[str, ...]:
        return words if words is not None else ("\n" + format.open_block(number + max_tasks).rstrip(),)

    return stop
