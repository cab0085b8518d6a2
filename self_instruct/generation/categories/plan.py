"""What does request i ask, in a run from categories? Its category and step, its topic and variables, and the prompt of these.

All of it follows from the seed and the outcomes of requests up to i - horizon. What an earlier launch has asked stands in its
journal and is taken from there.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from self_instruct.engines.base import Request, Sampling
from self_instruct.generation.categories.category import TOPIC, Category
from self_instruct.generation.categories.progress import CategoryProgress, Outcome
from self_instruct.generation.categories.schedule import Assignment, Schedule
from self_instruct.generation.judging import Curator
from self_instruct.generation.plan import Plan, numbered_stop
from self_instruct.generation.prompts import PromptComposer
from self_instruct.records import Aim, Prompt, Record
from self_instruct.runs.journal import Entry


@dataclass(frozen=True)
class Writing:
    """How a category's prompts are put together: a composer for each step, the number of tasks that the first asks for, its own
    sampling, and the stop words of the run.
    """

    category: Category
    composers: Mapping[int, PromptComposer]
    tasks: int
    sampling: Sampling | None = None
    stop_words: tuple[str, ...] | None = None

    def compose(
        self, index: int, aim: Aim, pool: Sequence[Record], record: Record | None, seed: int
    ) -> tuple[Prompt, Request]:
        """The prompt of a request and the request: of the second step, for a record without its output."""
        number = self.tasks if aim.step == 1 else 1
        texts = self.category.texts(aim.variables, number)
        composer = filled(self.composers[aim.step], self.category, aim.step, texts)
        prompt = replace(composer.compose(index, pool, record), aim=aim)
        stop = numbered_stop(number, self.stop_words)(composer.format, prompt.number)
        return prompt, Request(index, prompt.text, prompt.opening, stop, f"{seed}:{index}", self.sampling)


def filled(composer: PromptComposer, category: Category, step: int, texts: Mapping[str, str]) -> PromptComposer:
    """The composer of a step with what the templates say for a request."""
    first, last = category.templates[:2] if step == 1 else category.templates[2:]
    return replace(composer, header=first.fill(texts), lead=last.fill(texts))


@dataclass
class CategoryPlan(Plan):
    """The plan of a run from categories. `outcomes` grows as the curator decides, `progress` is what all of them gave."""

    writings: Mapping[str, Writing]
    curator: Curator
    outcomes: Sequence[Outcome]
    schedule: Schedule
    progress: CategoryProgress
    seed: int
    horizon: int
    topics: tuple[str, ...] = ()
    _earlier: Mapping[int, Aim] = field(default_factory=dict)
    _aims: dict[int, Aim] = field(default_factory=dict)
    _next: int = 0
    _seen: int = 0
    _counted: int = 0
    _turns: Counter[str] = field(default_factory=Counter)
    _asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """The prompt of a request, and the request itself."""
        while self._next <= index:
            self._advance(self._next - self.horizon)
            self._aims[self._next] = self._aim(self._next)
            self._next += 1
        aim = self._aims[index]
        record = self.curator.waiting(aim.answers)[0] if aim.answers is not None else None
        pool = self.curator.pool_before(aim.category, index - self.horizon + 1)
        return self.writings[aim.category].compose(index, aim, pool, record, self.seed)

    def resume(self, entries: Mapping[int, Entry]) -> None:
        """Take over the aims of requests of earlier launches."""
        self._earlier = {
            request: Aim(entry.category, entry.step, entry.answers, entry.variables)
            for request, entry in entries.items()
            if entry.category is not None
        }

    def ended(self) -> str | None:
        """Why nothing more is to be asked although records are missing: categories were given up, and the others are full."""
        for outcome in self.outcomes[self._counted :]:
            self.progress.add(outcome)
        self._counted = len(self.outcomes)
        return self.progress.ended()

    def _advance(self, request: int) -> None:
        """Brings the outcomes of requests up to this one into view."""
        while self._seen < len(self.outcomes) and self.outcomes[self._seen].request <= request:
            self.schedule.see(self.outcomes[self._seen])
            del self._aims[self.outcomes[self._seen].request]
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
        """The values of a request's variables; those of an answer are the ones that its task was asked for with."""
        if assigned.answers is not None:
            return dict(self.curator.waiting(assigned.answers)[1])
        category = self.writings[assigned.category].category
        turn = self._turns[category.name]
        values = {
            name: variable.value(f"variables:{self.seed}:{index}:{name}", turn)
            for name, variable in category.variables.items()
        }
        return {**({TOPIC: self._topic(index, category.name)} if category.uses_topics else {}), **values}

    def _topic(self, index: int, category: str) -> str:
        """One of the topics that the category has asked for and got records of least, drawn: a topic of which nothing comes is
        asked for no more often than the others give records.
        """
        used = [self._asked[category, topic] + self.schedule.progress.topics[category, topic] for topic in self.topics]
        least = min(used)
        few = [topic for topic, number in zip(self.topics, used, strict=True) if number == least]
        return random.Random(f"topic:{self.seed}:{index}").choice(few)
