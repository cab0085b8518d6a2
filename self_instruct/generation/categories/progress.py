"""Count the records of each category, and give up categories with too low a yield.

Progress depends only on the counts of requests added to it, in their order. A run has two: one with those of all requests,
and one that lags behind by the horizon.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from self_instruct.generation.categories.category import TOPIC
from self_instruct.runs.funnel import DECIDED
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict


@dataclass(frozen=True)
class RequestCounts:
    """How many candidates of one request were `decided` on and how many `passed`, either as records or, before the last step,
    as tasks that wait for an answer or tests (`awaiting`). `failed` is set if the engine could not answer, and
    `decides` is false for an answer to a task that gets more of them.
    """

    request: int
    category: str
    step: int
    topic: str | None = None
    decided: int = 0
    passed: int = 0
    records: int = 0
    awaiting: Mapping[str, int] = field(default_factory=dict)
    failed: bool = False
    decides: bool = True

    @classmethod
    def of(cls, entry: Entry, verdicts: Sequence[Verdict], awaiting: Mapping[str, int]) -> "RequestCounts":
        """Count the verdicts on a completion, and the ids of its tasks that wait with the steps for which they wait."""
        records = sum(verdict.drop is None for verdict in verdicts)
        passed = records + len(awaiting)
        decided = passed + sum(verdict.drop is not None and verdict.drop.stage in DECIDED for verdict in verdicts)
        category, failed = entry.category or "", entry.finish_reason == "error"
        topic = entry.variables.get(TOPIC)
        decides = entry.step == 1 or bool(verdicts) or bool(awaiting)
        return cls(
            entry.request, category, entry.step, topic, decided, passed, records, dict(awaiting), failed, decides
        )


@dataclass
class CategoryProgress:
    """Counts by category, or by `(category, step)`. `without_success` counts the requests since the last success.

    A category is given up if, over the last `patience` requests of one of its steps, no candidate passed, or a share below
    `min_yield`.
    """

    quotas: Mapping[str, int]
    patience: int
    min_yield: float
    records: Counter[str] = field(default_factory=Counter)
    topics: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    passed: Counter[tuple[str, int]] = field(default_factory=Counter)
    without_success: Counter[tuple[str, int]] = field(default_factory=Counter)
    given_up: dict[str, str] = field(default_factory=dict)
    _recent: dict[tuple[str, int], deque[tuple[int, int]]] = field(default_factory=dict)

    def add(self, counts: RequestCounts) -> None:
        """Add the counts of the next request."""
        key = counts.category, counts.step
        self.records[counts.category] += counts.records
        self.topics[counts.category, counts.topic] += counts.records
        if (counts.failed and not counts.passed) or not counts.decides:
            return  # an error of the engine does not count against the category, and all answers to a task count once
        self.requests[key] += 1
        self.passed[key] += counts.passed
        self.without_success[key] = 0 if counts.passed else self.without_success[key] + 1
        recent = self._recent.setdefault(key, deque(maxlen=self.patience))
        recent.append((counts.decided, counts.passed))
        decided, passed = (sum(column) for column in zip(*recent, strict=True))
        lasting = len(recent) == self.patience and not self.is_full(counts.category)
        if lasting and (not passed or passed < self.min_yield * decided) and counts.category not in self.given_up:
            noun = "records" if counts.step == 1 else "answers"
            self.given_up[counts.category] = (
                f"{passed} of the {decided} {noun} from its last {self.patience} requests could be kept"
            )

    def is_full(self, category: str) -> bool:
        """Return whether a category has all its records."""
        return self.records[category] >= self.quotas[category]

    @property
    def open(self) -> list[str]:
        """The categories that need more records."""
        return [name for name in self.quotas if not self.is_full(name) and name not in self.given_up]

    def ended(self) -> str | None:
        """Return why the run ends although records are missing: each category is full or given up. Else return None."""
        if self.open or all(map(self.is_full, self.quotas)):
            return None
        reasons = [
            f"{name} has {self.records[name]} of {self.quotas[name]} and was given up: {reason}"
            for name, reason in self.given_up.items()
            if not self.is_full(name)
        ]
        others = "the other categories are full, and " if any(map(self.is_full, self.quotas)) else ""
        return f"{others}{'; '.join(reasons)} (--patience and --min_yield set this limit)"
