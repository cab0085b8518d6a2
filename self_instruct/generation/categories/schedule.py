"""Decide which category and step a request serves: the category furthest behind its share.

The assignment of request i depends on the counts of requests up to i - horizon, and on the assignments of the requests
since then, which count with the average yield of their category and step. The plan is therefore independent of timing, and
the categories have records in proportion to their shares whenever the run ends.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from self_instruct.generation import answers, testing
from self_instruct.generation.categories.progress import CategoryProgress, RequestCounts


@dataclass(frozen=True)
class Assignment:
    """The assignment of a request: new tasks of a category, or, with `answers`, the answer to a task, or its tests."""

    category: str
    step: int = 1
    answers: str | None = None


@dataclass
class Schedule:
    """Assigns requests in order. By category, `shares` are the shares of the records, and `tasks` the number of tasks per
    request; `progress` has the counts of requests up to the horizon. A task gets `num_answers` answers, from requests
    in a row.
    """

    shares: Mapping[str, float]
    tasks: Mapping[str, int]
    progress: CategoryProgress
    num_answers: int = 1
    _begun: tuple[Assignment, int] | None = None
    _unanswered: dict[str, dict[tuple[str, int], int]] = field(default_factory=dict)
    _in_flight: dict[int, Assignment] = field(default_factory=dict)
    _numbers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _order: int = 0

    @property
    def has_begun(self) -> bool:
        """Whether the next request answers the same task as the one before it."""
        return self._begun is not None

    def add(self, counts: RequestCounts) -> None:
        """Add the counts of the next request within the horizon."""
        self.progress.add(counts)
        for item in counts.awaiting.items():
            self._unanswered.setdefault(counts.category, {})[item] = self._order
            self._order += 1
        assigned = self._in_flight.pop(counts.request)
        self._numbers[assigned.category, assigned.step] -= 1

    def assign(self, request: int) -> Assignment:
        """Return the assignment of the next request."""
        if self._begun is not None:
            chosen = self._begun[0]
            self.note(request, chosen)
            return chosen
        candidates = self.progress.open or list(self.shares)
        answerable = [name for name in candidates if self._needs_answer(name)]
        if answerable:
            oldest = {name: next(iter(self._unanswered[name].items())) for name in answerable}
            category = min(answerable, key=lambda name: oldest[name][1])
            name, step = oldest[category][0]
            chosen = Assignment(category, step, name)
        else:
            eligible = [name for name in candidates if self._may_continue(name)]
            chosen = Assignment(min(eligible or candidates, key=self._fill_level))
        self.note(request, chosen)
        return chosen

    def note(self, request: int, assignment: Assignment) -> None:
        """Record the assignment of the next request, also one by an earlier launch."""
        if assignment.answers is not None:
            self._unanswered.get(assignment.category, {}).pop((assignment.answers, assignment.step), None)
            before = self._begun[1] if self._begun is not None and self._begun[0] == assignment else 0
            more = before + 1 < self.num_answers and assignment.step == answers.STEP
            self._begun = (assignment, before + 1) if more else None
        self._in_flight[request] = assignment
        self._numbers[assignment.category, assignment.step] += 1

    def _needs_answer(self, category: str) -> bool:
        """Return whether a category has an unanswered task and needs more answers than those already requested."""
        if not self._unanswered.get(category):
            return False
        expected = self._expected(category, Counter())
        return self.progress.records[category] + expected < self.progress.quotas[category]

    def _expected(self, category: str, waiting: Counter[int]) -> float:
        """Return the records to expect from the requests in flight for answers and tests, and from the tasks `waiting` for
        either, counted by step.
        """
        given = waiting[answers.STEP] + self._numbers[category, answers.STEP] / self.num_answers
        tested = waiting[testing.STEP] + self._numbers[category, testing.STEP]
        return (given * self._yield(category, answers.STEP) + tested) * self._yield(category, testing.STEP)

    def _may_continue(self, category: str) -> bool:
        """Return whether a category may get another request for tasks. After a request without success, and before the
        first success, it gets at most `patience` requests until one succeeds.
        """
        key = category, 1
        failures, patience = self.progress.without_success[key], self.progress.patience
        return (failures == 0 and self.progress.passed[key] > 0) or failures + self._numbers[key] < patience

    def _fill_level(self, category: str) -> float:
        """Return the records that a category has or expects, divided by its share."""
        waiting = Counter(step for _, step in self._unanswered.get(category, ()))
        expected = self.progress.records[category] + self._expected(category, waiting)
        per_task = self._yield(category, answers.STEP) * self._yield(category, testing.STEP)
        key = category, 1
        # Before the counts of the first request, expect every requested task to pass.
        tasks = (self.progress.passed[key] + self.tasks[category]) / (self.progress.requests[key] + 1)
        expected += self._numbers[key] * tasks * per_task
        return expected / self.shares[category]

    def _yield(self, category: str, step: int) -> float:
        """Return the share of answers or tests that passed, counting one additional one that passed."""
        key = category, step
        return (self.progress.passed[key] + 1) / (self.progress.requests[key] + 1)
