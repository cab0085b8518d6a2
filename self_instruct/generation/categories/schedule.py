"""Which category a request serves, and in which step: the one that is furthest behind its share.

Request i is decided from the outcomes of the requests up to i - horizon, which are in view, and from what the requests
between, which are under way, are for: these count with what requests of their kind have given so far. So the plan depends
on no timing, and categories fill side by side in the proportion of their shares, whenever the run ends. Knows nothing of
prompts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from self_instruct.generation.categories.progress import CategoryProgress, Outcome


@dataclass(frozen=True)
class Assignment:
    """What a request is for: new tasks of a category, or with `answers` the answer to one of its tasks."""

    category: str
    step: int = 1
    answers: str | None = None


@dataclass
class Schedule:
    """Assigns requests in order. `shares` says how records are divided, `tasks` how many a request of a category asks for,
    `steps` in how many a record comes about; `progress` is what is in view.
    """

    shares: Mapping[str, float]
    tasks: Mapping[str, int]
    steps: Mapping[str, int]
    progress: CategoryProgress
    _unanswered: dict[str, dict[str, int]] = field(default_factory=dict)
    _under_way: dict[int, Assignment] = field(default_factory=dict)
    _numbers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _order: int = 0

    def see(self, outcome: Outcome) -> None:
        """One more outcome comes into view."""
        self.progress.add(outcome)
        for name in outcome.awaiting:
            self._unanswered.setdefault(outcome.category, {})[name] = self._order
            self._order += 1
        assigned = self._under_way.pop(outcome.request)
        self._numbers[assigned.category, assigned.step] -= 1

    def assign(self, request: int) -> Assignment:
        """The assignment of the next request."""
        candidates = self.progress.open or list(self.shares)
        answerable = [name for name in candidates if self._wants_answer(name)]
        if answerable:
            oldest = {name: next(iter(self._unanswered[name].items())) for name in answerable}
            category = min(answerable, key=lambda name: oldest[name][1])
            chosen = Assignment(category, 2, oldest[category][0])
        else:
            hopeful = [name for name in candidates if self._hopeful(name)]
            chosen = Assignment(min(hopeful or candidates, key=self._filled))
        self.note(request, chosen)
        return chosen

    def note(self, request: int, assignment: Assignment) -> None:
        """The next request was assigned so, by an earlier launch."""
        if assignment.answers is not None:
            self._unanswered.get(assignment.category, {}).pop(assignment.answers, None)
        self._under_way[request] = assignment
        self._numbers[assignment.category, assignment.step] += 1

    def _wants_answer(self, category: str) -> bool:
        """Whether a category has a task to be answered and needs the answer, beside those that are under way."""
        if not self._unanswered.get(category):
            return False
        expected = self._numbers[category, 2] * self._answered(category)
        return self.progress.records[category] + expected < self.progress.quotas[category]

    def _hopeful(self, category: str) -> bool:
        """Whether a request may be spent on a category that has not given anything of late: at most as many as decide that it
        is given up.
        """
        key = category, 1
        barren = self.progress.barren[key]
        return (barren == 0 and self.progress.passed[key] > 0) or barren + self._numbers[key] < self.progress.patience

    def _filled(self, category: str) -> float:
        """Records that a category has or may expect, by its share."""
        expected = float(self.progress.records[category])
        per_task = 1.0
        if self.steps[category] == 2:
            per_task = self._answered(category)
            expected += (len(self._unanswered.get(category, ())) + self._numbers[category, 2]) * per_task
        key = category, 1
        # Before anything is seen, every task that is asked for is taken for a good one.
        tasks = (self.progress.passed[key] + self.tasks[category]) / (self.progress.requests[key] + 1)
        expected += self._numbers[key] * tasks * per_task
        return expected / self.shares[category]

    def _answered(self, category: str) -> float:
        """The share of answers that were good, one more taken for good."""
        key = category, 2
        return (self.progress.passed[key] + 1) / (self.progress.requests[key] + 1)
