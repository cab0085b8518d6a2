"""The second step of a run from seed tasks: each new task is sent alone as a user's message, and the reply is its output.

Both steps share one sequence of requests, so the engine never waits between them. Request i answers the oldest unanswered
task from requests up to i - horizon; if there is none, it asks for new tasks. Requests for tests come first: they complete a
record, and a short run would else end before them. Which requests answer a task therefore depends only on the seed and the
completions. The requests of earlier launches are taken from the journal.

With --num_answers N, N requests in a row answer a task. They differ only in their seeds, so engines read the prompt once.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from self_instruct.engines.base import Request, Sampling
from self_instruct.formats import Block
from self_instruct.formats.edges import trim
from self_instruct.records import Aim, Prompt, Record
from self_instruct.runs.journal import ANSWERS_STEP as STEP
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict


class Turn(NamedTuple):
    """The purpose of a request: the answer to `task`, its tests (step 3), or new tasks with the prompt of request `first`."""

    task: str | None
    first: int
    step: int = 1


@dataclass
class AnswerQueue:
    """Decides which requests answer a task, `num_answers` for each, and which ask for the tests of an answer, one for each.

    `together` requests for new tasks share a prompt.
    """

    horizon: int
    together: int = 1
    num_answers: int = 1
    _arrived: deque[tuple[int, Mapping[str, int]]] = field(default_factory=deque)
    _unanswered: deque[tuple[str, int]] = field(default_factory=deque)
    _untested: deque[tuple[str, int]] = field(default_factory=deque)
    _known: frozenset[int] = frozenset()
    _earlier: dict[int, tuple[str, int]] = field(default_factory=dict)
    _answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    _turns: dict[int, Turn] = field(default_factory=dict)
    _next: int = 0
    _asked: int = 0
    _first: int = 0
    _decided: int = -1
    _latest: tuple[str, int] | None = None

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over from the journal which requests answer a task."""
        self._earlier = {
            request: (entry.answers, entry.step) for request, entry in entries.items() if entry.answers is not None
        }
        self._known = frozenset(entries)
        self._answered = Counter(self._earlier.values())

    def observe(self, entry: Entry, verdicts: Sequence[Verdict], awaiting: Mapping[str, int]) -> None:
        """Note the tasks of a decided completion that wait for an answer or tests, with the step for which they wait."""
        if awaiting:
            self._arrived.append((entry.request, awaiting))
        self._turns.pop(entry.request, None)
        self._decided = entry.request

    def turn(self, index: int) -> Turn:
        """Return the purpose of a request. All requests up to `index - horizon` must have been decided."""
        while self._next <= index:
            turn = self._turn_of(self._next)
            if self._next > self._decided:
                self._turns[self._next] = turn
            self._next += 1
        return self._turns[index]

    def continues(self, index: int) -> bool:
        """Return whether a request answers the same task as the one before it; False if that has not been asked for yet."""
        return self._next == index and bool(self._unanswered) and self._unanswered[0] == self._latest

    def _turn_of(self, index: int) -> Turn:
        while self._arrived and self._arrived[0][0] <= index - self.horizon:
            for item in self._arrived.popleft()[1].items():
                number = self.num_answers if item[1] == STEP else 1
                waiting = self._unanswered if item[1] == STEP else self._untested
                waiting.extend([item] * (number - self._answered[item]))
        if index in self._known:
            self._latest = self._earlier.get(index)
        else:
            within = bool(self._unanswered) and self._unanswered[0] == self._latest
            waiting = self._untested if self._untested and not within else self._unanswered
            self._latest = waiting.popleft() if waiting else None
        if self._latest is not None:
            return Turn(self._latest[0], self._first, self._latest[1])
        if self._asked % self.together == 0:
            self._first = index
        self._asked += 1
        return Turn(None, self._first)


@dataclass(frozen=True)
class Answering:
    """Composes the requests for answers. Without a `system` message or `sampling` of their own, they use the engine's."""

    system: str | None = None
    sampling: Sampling | None = None

    def ask(self, index: int, record: Record, seed: int) -> tuple[Prompt, Request]:
        """Return the prompt of the request that answers a task, and the request."""
        prompt = Prompt(index, user_message(record), "", 1, (), Aim(step=STEP, answers=record.id))
        return prompt, Request(
            index, prompt.text, prompt.opening, (), f"{seed}:{index}", self.sampling, self.system
        )  # fmt: skip


def user_message(task: Record) -> str:
    """Return a task as a user sends it: the instruction, and the input below it."""
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction


def whole_reply(entry: Entry, task: Record) -> Block:
    """Return a reply, without a separator at its end, as the output of a task. Reasons: `empty_reply`, `cut_by_length`."""
    text = trim(entry.answer)
    if entry.cut:
        return Block(1, text, reason="cut_by_length")
    return Block(1, text, {"output": text}) if text else Block(1, text, reason="empty_reply")
