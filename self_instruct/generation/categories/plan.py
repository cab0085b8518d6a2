"""Compose request i of a run from categories: its category, step, topic, variables and prompt.

All of these depend only on the seed and the counts of requests up to i - horizon. The requests of earlier launches are taken
from the journal.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from self_instruct.engines.base import Request, Sampling
from self_instruct.generation import testing
from self_instruct.generation.answers import Answering
from self_instruct.generation.categories.category import LETTER, NONE, TOPIC, Category
from self_instruct.generation.categories.progress import CategoryProgress, RequestCounts
from self_instruct.generation.categories.schedule import Assignment, Schedule
from self_instruct.generation.judging import Curator
from self_instruct.generation.patterns import options_pattern
from self_instruct.generation.plan import Plan, numbered_stop
from self_instruct.generation.prompts import PromptComposer
from self_instruct.generation.task_lists import TaskListComposer
from self_instruct.generation.testing import Testing
from self_instruct.records import Aim, Prompt, Record
from self_instruct.runs.journal import Entry

CHOICES = "multiple_choice"
"""The validator of categories whose tasks are multiple-choice questions."""


@dataclass(frozen=True)
class CategoryComposer:
    """Composes the requests of a category.

    `steps` has a composer for each step that shows demonstrations; `tasks` is the number of tasks that the first step asks for.
    `sampling` is the category's own; None means the engine's. `answering` composes the requests that send a task alone.
    With `constrain`, new tasks and answers to multiple-choice questions have a pattern.
    """

    category: Category
    steps: Mapping[int, PromptComposer]
    tasks: int
    sampling: Sampling | None = None
    stop_words: tuple[str, ...] | None = None
    system: str | None = None
    answering: Answering = field(default_factory=Answering)
    constrain: bool = False

    def compose(
        self, index: int, aim: Aim, pool: Sequence[Record], record: Record | None, seed: int
    ) -> tuple[Prompt, Request]:
        """Return the prompt of a request and the request; the second step asks for the output of a `record`."""
        if record is not None and aim.step not in self.steps:
            prompt, request = self.answering.ask(index, record, seed)
            choice = self.constrain and any(name == CHOICES for name, _ in self.category.validators)
            pattern = options_pattern(record.task) if choice else None
            return replace(prompt, aim=aim), replace(request, pattern=pattern)
        number = self.tasks if aim.step == 1 else 1
        texts = self.category.texts(aim.variables, number)
        composer = filled(self.steps[aim.step], self.category, aim.step, texts)
        prompt = replace(composer.compose(index, pool, record), aim=aim)
        stop = numbered_stop(number, self.stop_words)(composer.format, prompt.number)
        pattern = None
        if isinstance(composer, TaskListComposer):
            # A reply that is one task is read whole, whatever its form.
            pattern = composer.pattern if self.constrain and number > 1 else None
            if self.stop_words is None or pattern:
                stop = (*composer.stop(prompt), *(self.stop_words or ()))
        elif self.constrain:
            pattern = composer.format.pattern(last_only=record is not None)
        return prompt, Request(
            index, prompt.text, prompt.opening, stop, f"{seed}:{index}", self.sampling, self.system, pattern=pattern
        )  # fmt: skip


def filled(composer: PromptComposer, category: Category, step: int, texts: Mapping[str, str]) -> PromptComposer:
    """Return the composer of a step with the templates filled in for a request."""
    first, last = category.templates[:2] if step == 1 else category.templates[2:]
    return replace(composer, header=first.fill(texts), lead=last.fill(texts))


@dataclass
class CategoryPlan(Plan):
    """The plan of a run from categories. The curator appends the counts of each request to `counts`; `progress` has all."""

    composers: Mapping[str, CategoryComposer]
    curator: Curator
    counts: Sequence[RequestCounts]
    schedule: Schedule
    progress: CategoryProgress
    seed: int
    horizon: int
    topics: tuple[str, ...] = ()
    testing: Testing | None = None
    _earlier: Mapping[int, Aim] = field(default_factory=dict)
    _aims: dict[int, tuple[Aim, int]] = field(default_factory=dict)
    _latest: str | None = None
    _first: int = 0
    _next: int = 0
    _seen: int = 0
    _counted: int = 0
    _turns: Counter[str] = field(default_factory=Counter)
    _asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """Return the prompt of a request, and the request. All requests that answer one task have the prompt of the first."""
        while self._next <= index:
            self._advance(self._next - self.horizon)
            aim = self._aim(self._next)
            if aim.answers is None or aim.answers != self._latest:
                self._first, self._latest = self._next, aim.answers
            self._aims[self._next] = aim, self._first
            self._next += 1
        aim, first = self._aims[index]
        record = self.curator.waiting(aim.answers)[0] if aim.answers is not None else None
        if aim.step == testing.STEP and record is not None and self.testing is not None:
            prompt, request = self.testing.ask(index, record, self.seed)
            return replace(prompt, aim=aim), request
        pool = self.curator.pool_before(aim.category, first - self.horizon + 1)
        prompt, request = self.composers[aim.category].compose(first, aim, pool, record, self.seed)
        return prompt, replace(request, index=index, seed=f"{self.seed}:{index}")

    def continues(self, index: int) -> bool:
        """Return whether a request answers the same task as the one before it."""
        return self._next == index and self.schedule.has_begun

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over the aims of earlier requests from the journal."""
        self._earlier = {
            request: Aim(entry.category, entry.step, entry.answers, entry.variables)
            for request, entry in entries.items()
            if entry.category is not None
        }

    def ended(self) -> str | None:
        """Return why no further request is sent although records are missing, or None: see `CategoryProgress.ended`."""
        for one in self.counts[self._counted :]:
            self.progress.add(one)
        self._counted = len(self.counts)
        return self.progress.ended()

    def _advance(self, request: int) -> None:
        """Add the counts of requests up to this one to the schedule."""
        while self._seen < len(self.counts) and self.counts[self._seen].request <= request:
            self.schedule.add(self.counts[self._seen])
            del self._aims[self.counts[self._seen].request]
            self._seen += 1

    def _aim(self, index: int) -> Aim:
        aim = self._earlier.get(index)
        if aim is not None:
            self.schedule.note(index, Assignment(aim.category, aim.step, aim.answers))
        else:
            assigned = self.schedule.assign(index)
            aim = Aim(assigned.category, assigned.step, assigned.answers, self._variables(index, assigned))
        if aim.step == 1:
            self._turns[aim.category] += 1
            self._asked[aim.category, aim.variables.get(TOPIC, "")] += 1
        return aim

    def _variables(self, index: int, assigned: Assignment) -> dict[str, str]:
        """Return the values of a request's variables. An answer has those of its task, without `LETTER` if it is sent alone."""
        category = self.composers[assigned.category].category
        if assigned.answers is not None:
            values = dict(self.curator.waiting(assigned.answers)[1])
            return values if category.answered_alone == NONE else {k: v for k, v in values.items() if k != LETTER}
        turn = self._turns[category.name]
        values = {
            name: variable.value(f"variables:{self.seed}:{index}:{name}", turn)
            for name, variable in category.variables.items()
        }
        return {**({TOPIC: self._topic(index, category.name)} if category.uses_topics else {}), **values}

    def _topic(self, index: int, category: str) -> str:
        """Draw one of the topics with the fewest requests and records in the category, so that a topic that
        yields no records does not get all the requests.
        """
        used = [self._asked[category, topic] + self.schedule.progress.topics[category, topic] for topic in self.topics]
        least = min(used)
        few = [topic for topic, number in zip(self.topics, used, strict=True) if number == least]
        return random.Random(f"topic:{self.seed}:{index}").choice(few)
