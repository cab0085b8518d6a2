"""Exact search of unit vectors by cosine similarity, and greedy selections of dissimilar ones, in blocks of matrix products.

Products are float32. Candidates within rounding error of the highest are summed again in float64, so results do not depend on
the block size or the order of summation. In a large index, most pairs are excluded by an upper bound of their cosine, which
takes 65 multiplications. Memory: the vectors, 260 bytes more for each, up to half as much again to grow, and 32 MiB.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.subsequence import compiled

REFERENCES = ("kept", "all")
_QUERIES, _ROWS = 512, 2048  # block size of the matrix products
_DIRECTIONS = 64  # of the bounds
_ENOUGH = 16_384  # vectors from which the directions are computed; fewer are searched without bounds
_WORTH = 0.05  # the largest share of pairs that may pass the bounds; above it, whole products are as fast
_RUN = 64  # bounds that are compared at once
_ALLOWED = 4096  # pairs that are checked before this share is taken seriously
_WITHOUT = 30  # blocks that are then searched without bounds


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
        self._rows, self._bounds = _Rows(), _Rows()
        self._directions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, vectors: np.ndarray) -> None:
        """Add vectors [vectors, dimensions]."""
        self._rows.add(vectors)
        if self._directions is not None:
            self._bounds.add(_bounding(vectors, self._directions))
        elif len(self) >= _ENOUGH and vectors.shape[1] > 2 * _DIRECTIONS:
            self._directions = _main_directions(self._rows.used[:_ENOUGH])
            for begin in range(0, len(self), _ENOUGH):
                self._bounds.add(_bounding(self._rows.used[begin : begin + _ENOUGH], self._directions))

    def nearest(self, queries: np.ndarray, least: float = -np.inf) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each query [queries, dimensions], the highest cosine [queries], float64, and the first position with it
        [queries]; -inf and -1 where no cosine is `least` or higher. A high `least` makes the search faster.
        """
        scores, found = np.full(len(queries), np.nextafter(least, -np.inf)), np.full(len(queries), -1)
        for first in range(0, len(queries), _QUERIES):
            part = slice(first, first + _QUERIES)
            self._search(queries[part], scores[part], found[part])
        scores[found < 0] = -np.inf
        return scores, found

    def _search(self, block: np.ndarray, scores: np.ndarray, found: np.ndarray) -> None:
        """Update the highest cosines of a block of queries, `scores` and `found`."""
        bounding = None if self._directions is None else _bounding(block, self._directions)
        use_bounds = _ROWS  # of the first rows no bounds: these give most queries a score that few bounds reach
        for begin in range(0, len(self), _ROWS):
            rows = self._rows.used[begin : begin + _ROWS]
            if bounding is not None and begin >= use_bounds:
                bounds = bounding @ self._bounds.used[begin : begin + _ROWS].T
                if _best_within(bounds, rows, block, begin, scores, found):
                    continue
                use_bounds = begin + _WITHOUT * _ROWS
            _best(block @ rows.T, rows, block, begin, scores, found)


class _Rows:
    """A growing array of float32 rows."""

    def __init__(self) -> None:
        self._rows, self._number = np.empty((0, 0), np.float32), 0

    def __len__(self) -> int:
        return self._number

    @property
    def used(self) -> np.ndarray:
        """The rows added so far."""
        return self._rows[: self._number]

    def add(self, rows: np.ndarray) -> None:
        needed = self._number + len(rows)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 1024, len(self._rows) * 3 // 2), rows.shape[1]), np.float32)
            if self._number:
                grown[: self._number] = self.used
            self._rows = grown
        if len(rows):
            self._rows[self._number : needed] = rows
        self._number = needed


def _main_directions(vectors: np.ndarray) -> np.ndarray:
    """Return the orthonormal directions [dimensions, `_DIRECTIONS`] that hold the largest part of the vectors' lengths."""
    _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    return np.ascontiguousarray(directions[:, -_DIRECTIONS:], np.float32)


def _bounding(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return rows [vectors, `_DIRECTIONS` + 1] whose products are upper bounds of the vectors' products.

    With p the projection on the directions, x y = p(x) p(y) + (x - p(x)) (y - p(y)), and the second term is at most
    |x - p(x)| |y - p(y)| (Cauchy-Schwarz). A row is p(x) and |x - p(x)|.
    """
    inside = vectors @ directions
    outside = np.linalg.norm(vectors - inside @ directions.T, axis=1)
    return np.concatenate([inside, outside[:, None]], axis=1)


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


@compiled
def _best_within(
    bounds: np.ndarray, rows: np.ndarray, block: np.ndarray, begin: int, scores: np.ndarray, found: np.ndarray
) -> bool:
    """Update the highest cosine of each query with later rows, as `_best` does, from upper bounds [queries, rows] of their
    cosines. Return False, with rows left out, if the bounds exclude too few pairs.
    """
    error = block.shape[1] * 2.0**-21  # of the bounds: rounding of three products, and of the directions
    passed = 0
    for query in range(block.shape[0]):
        least = np.float32(scores[query] - error)
        for first in range(0, rows.shape[0], _RUN):
            last = min(first + _RUN, rows.shape[0])
            above = 0
            for row in range(first, last):  # without a branch, so that the compiler uses vector instructions
                above += bounds[query, row] >= least
            if above == 0:
                continue
            passed += above
            if passed > _WORTH * (query * rows.shape[0] + first + _ALLOWED):
                return False
            for row in range(first, last):
                if bounds[query, row] >= least and _product(rows[row], block[query]) >= least:
                    score = _cosine(rows[row], block[query])
                    if score > scores[query]:
                        scores[query], found[query] = score, begin + row
                        least = np.float32(score - error)
    return True


@partial(compiled, any_order=True)
def _product(one: np.ndarray, other: np.ndarray) -> np.float32:
    """Return the product of vectors in float32, summed in the order that is fastest on this processor."""
    total = np.float32(0)
    for at in range(one.size):
        total += one[at] * other[at]
    return total


class Centres(NamedTuple):
    """The positions of chosen vectors, in the order of choice; and for each vector [vectors] the position of the nearest chosen
    one, the first chosen of equals, and their cosine, float64.
    """

    chosen: list[int]
    nearest: np.ndarray
    scores: np.ndarray


def farthest_first(vectors: np.ndarray, number: int, first: int = 0) -> Centres:
    """Choose vectors [vectors, dimensions] by k-center greedy: after `first`, always the one whose highest cosine with the
    chosen ones is lowest, the first of equals (gonzalez1985clustering).

    The largest distance of a vector to the nearest chosen one is at most twice the smallest that any choice of this number can
    have, for the Euclidean distance of unit vectors. Takes `number` products of all vectors with one.
    """
    scores, nearest = np.full(len(vectors), -np.inf), np.full(len(vectors), -1)
    chosen, free, centre = list[int](), np.ones(len(vectors), np.bool_), first
    while len(chosen) < min(number, len(vectors)):
        chosen.append(centre)
        free[centre] = False
        _approach(vectors @ vectors[centre], vectors, centre, scores, nearest)
        centre = int(np.where(free, scores, np.inf).argmin())
    return Centres(chosen, nearest, scores)


@compiled
def _approach(products: np.ndarray, rows: np.ndarray, centre: int, scores: np.ndarray, nearest: np.ndarray) -> None:
    """Update the highest cosine of each row with the chosen ones, now also with the row at `centre`."""
    error = rows.shape[1] * 2.0**-23
    for row in range(rows.shape[0]):
        if products[row] >= scores[row] - error:
            score = _cosine(rows[row], rows[centre])
            if score > scores[row]:
                scores[row], nearest[row] = score, centre
