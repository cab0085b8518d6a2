"""How new the accepted records of the last requests are, for --stop_diversity."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from self_instruct.runs.verdict import Verdict

FEWEST = 10
"""Fewer accepted records in the window say nothing."""


@dataclass
class RecentNovelty:
    """The novelty of the records accepted from the last `patience` requests, in request order.

    The novelty of a record is 1 - its similarity with the nearest seed or earlier record: the cosine of embeddings where the
    run compares them, else ROUGE-L F1. It is known when the record is decided on, so it is the same in a replay.
    """

    patience: int
    _requests: deque[list[float]] = field(default_factory=deque)

    def count(self, verdicts: Sequence[Verdict]) -> None:
        """Count the verdicts on one completion."""
        self._requests.append([novelty_of(verdict) for verdict in verdicts if verdict.drop is None])
        if len(self._requests) > self.patience:
            self._requests.popleft()

    @property
    def mean(self) -> float | None:
        """The mean novelty; None before `patience` requests, and for fewer than `FEWEST` records."""
        found = [novelty for request in self._requests for novelty in request]
        if len(self._requests) < self.patience or len(found) < FEWEST:
            return None
        return math.fsum(found) / len(found)


def novelty_of(verdict: Verdict) -> float:
    """Return 1 - the similarity of an accepted record with the nearest text by the last comparison; 1 if there is none."""
    near = verdict.embedding or verdict.rouge
    return 1 - near.score if near is not None else 1.0
