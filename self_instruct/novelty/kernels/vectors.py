"""Exact search of unit vectors by cosine similarity, and greedy selection of dissimilar ones, in blocks of matrix products.

Products are float32. Candidates within rounding error of the highest are summed again in float64, so results do not depend on
the block size or the order of summation. Memory: the vectors, up to half as much again to grow, and 32 MiB.
"""

from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.subsequence import compiled

REFERENCES = ("kept", "all")
_QUERIES, _ROWS = 512, 8192  # block size of the matrix products


class Choice(NamedTuple):
    """Which vectors are kept [vectors], the highest cosine of each with the vectors before it [vectors], float64, and the
    position of that vector [vectors]; -inf and -1 where there was nothing to compare with.
    """

    kept: np.ndarray
    scores: np.ndarray
    nearest: np.ndarray


class VectorIndex:
    """Unit vectors [vectors, dimensions], float32, in the order in which they were added."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), np.float32)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, vectors: np.ndarray) -> None:
        """Add vectors [vectors, dimensions]."""
        needed = self._used + len(vectors)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 1024, len(self._rows) * 3 // 2), vectors.shape[1]), np.float32)
            if self._used:
                grown[: self._used] = self._rows[: self._used]
            self._rows = grown
        if len(vectors):
            self._rows[self._used : needed] = vectors
        self._used = needed

    def nearest(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each query [queries, dimensions], the highest cosine [queries], float64, and the first position with it
        [queries]; -inf and -1 while the index is empty.
        """
        scores, found = np.full(len(queries), -np.inf), np.full(len(queries), -1)
        for first in range(0, len(queries), _QUERIES):
            block = queries[first : first + _QUERIES]
            part = slice(first, first + len(block))
            for begin in range(0, self._used, _ROWS):
                rows = self._rows[begin : min(begin + _ROWS, self._used)]
                _best(block @ rows.T, rows, block, begin, scores[part], found[part])
        return scores, found


def choose(vectors: np.ndarray, threshold: float, reference: str = "kept") -> Choice:
    """Keep, in order, the vectors [vectors, dimensions] whose highest cosine with the earlier ones is below a threshold.

    `reference` selects the earlier ones: `kept` or `all`. With `all` far fewer are kept, and they are no more diverse.
    Raises ValueError for an unknown reference.
    """
    if reference not in REFERENCES:
        raise ValueError(f"reference {reference!r} is unknown; use one of {', '.join(REFERENCES)}")
    index, positions, parts = VectorIndex(), np.empty(0, np.int64), []
    for first in range(0, len(vectors), _QUERIES):
        block = vectors[first : first + _QUERIES]
        scores, found = index.nearest(block)
        found = np.where(found >= 0, positions[found] if len(positions) else -1, -1)
        kept = _greedy(block @ block.T, block, first, threshold, reference == "all", scores, found)
        added = np.flatnonzero(kept) if reference == "kept" else np.arange(len(block))
        index.add(block[added])
        positions = np.concatenate([positions, first + added])
        parts.append(Choice(kept, scores, found))
    if not parts:
        return Choice(np.empty(0, np.bool_), np.empty(0), np.empty(0, np.int64))
    return Choice(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@compiled
def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for at in range(one.size):
        total += np.float64(one[at]) * np.float64(other[at])
    return total


@compiled
def _best(
    products: np.ndarray, rows: np.ndarray, block: np.ndarray, begin: int, scores: np.ndarray, found: np.ndarray
) -> None:
    """Update the highest cosine of each query with later rows, the first of which is at `begin`."""
    error = block.shape[1] * 2.0**-23  # bounds the rounding error of a float32 dot product (higham2002accuracy)
    for query in range(block.shape[0]):
        least = max(np.float64(products[query].max()) - error, scores[query]) - error
        for row in range(rows.shape[0]):
            if products[query, row] >= least:
                score = _cosine(rows[row], block[query])
                if score > scores[query]:
                    scores[query], found[query] = score, begin + row


@compiled
def _greedy(
    products: np.ndarray,
    block: np.ndarray,
    begin: int,
    threshold: float,
    against_all: bool,
    scores: np.ndarray,
    found: np.ndarray,
) -> np.ndarray:
    """Return which vectors of a block are kept, each compared with those before it; update `scores` and `found`."""
    error = block.shape[1] * 2.0**-23
    kept = np.zeros(block.shape[0], np.bool_)
    for query in range(block.shape[0]):
        for other in range(query):
            if (against_all or kept[other]) and products[query, other] >= scores[query] - error:
                score = _cosine(block[other], block[query])
                if score > scores[query]:
                    scores[query], found[query] = score, begin + other
        kept[query] = scores[query] < threshold
    return kept
