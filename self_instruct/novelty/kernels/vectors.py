"""Exact search of unit vectors by cosine similarity, and greedy selections of dissimilar ones, in blocks of matrix products.

Products are float32. Candidates within rounding error of the highest are summed again in float64, so results do not depend on
the block size, the order of summation, or the number of threads. In a large index, most pairs are excluded by upper bounds of
their cosine, which take 17 to 67 multiplications. Memory: the vectors, 268 bytes more for each, up to half as much again to
grow, and 32 MiB.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from self_instruct.novelty.kernels.sequences import processors
from self_instruct.novelty.kernels.subsequence import compiled

REFERENCES = ("kept", "all")
_QUERIES, _ROWS = 512, 2048  # block size of the matrix products
_BOUNDED = 524_288  # bounds that a thread computes at once; with fewer, threads wait for each other between the steps
_DIRECTIONS = (16, 32, 64)  # of the bounds; more directions exclude more pairs
_ENOUGH = 16_384  # vectors from which the directions are computed; fewer are searched without bounds, in one thread
_STEP = 65_536  # the most rows that are searched with the same number of directions
_SAMPLE = 256  # of these rows, on which the number is chosen
_RUN = 64  # bounds that are compared at once
_FIXED = 28  # time to compare a product, in multiplications of a matrix product
_CHECK, _WHOLE = 1750, 500  # time to check a pair that passes a bound, by all directions and by its whole product


_products = ThreadpoolController()  # of the libraries that numpy multiplies matrices with


class ChosenVectors(NamedTuple):
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
        elif len(self) >= _ENOUGH and vectors.shape[1] > 2 * _DIRECTIONS[-1]:
            self._directions = _main_directions(self._rows.used[:_ENOUGH])
            for begin in range(0, len(self), _ENOUGH):
                self._bounds.add(_bounding(self._rows.used[begin : begin + _ENOUGH], self._directions))

    def nearest(self, queries: np.ndarray, least: float = -np.inf, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each query [queries, dimensions], the highest cosine [queries], float64, and the first position with it
        [queries]; -inf and -1 where no cosine is `least` or higher. A high `least` makes the search faster, and so do `threads`
        if there are many queries.
        """
        scores, found = np.full(len(queries), np.nextafter(least, -np.inf)), np.full(len(queries), -1)
        threads = min(threads, len(queries)) if self._directions is not None else 1
        size = min(_QUERIES, -(-len(queries) // threads)) if threads > 1 else _QUERIES
        parts = [slice(first, first + size) for first in range(0, len(queries), size)]

        def search(part: slice) -> None:
            self._search(queries[part], scores[part], found[part])

        if threads == 1:
            for part in parts:
                search(part)
        else:
            # Each thread multiplies its own matrices, so the library of the products must not start more threads.
            with _products.limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
                list(pool.map(search, parts))
        scores[found < 0] = -np.inf
        return scores, found

    def _search(self, block: np.ndarray, scores: np.ndarray, found: np.ndarray) -> None:
        """Update the highest cosines of a block of queries, `scores` and `found`."""
        if self._directions is None:
            self._search_whole(block, 0, len(self), scores, found)
            return
        bounding = _bounding(block, self._directions)
        begin = _ROWS if (scores == -np.inf).any() else 0
        # No bound excludes a row for a query without a score, so search the first rows without bounds.
        self._search_whole(block, 0, begin, scores, found)
        while begin < len(self):
            # Scores rise most in the first rows, so choose again soon.
            end = min(begin + min(max(begin, _ROWS), _STEP), len(self))
            directions = self._cheapest(bounding, begin, scores)
            if directions is None:
                self._search_whole(block, begin, end, scores, found)
            else:
                self._search_bounded(block, bounding, directions, begin, end, scores, found)
            begin = end

    def _search_whole(self, block: np.ndarray, begin: int, end: int, scores: np.ndarray, found: np.ndarray) -> None:
        """Search the rows from `begin` to `end` by whole products."""
        for first in range(begin, end, _ROWS):
            rows = self._rows.used[first : min(first + _ROWS, end)]
            _best(block @ rows.T, rows, block, first, scores, found)

    def _search_bounded(
        self,
        block: np.ndarray,
        bounding: np.ndarray,
        directions: int,
        begin: int,
        end: int,
        scores: np.ndarray,
        found: np.ndarray,
    ) -> None:
        """Search the rows from `begin` to `end` by bounds of so many directions."""
        some, most = _with(bounding, directions), _with(bounding, _DIRECTIONS[-1])
        size = max(_RUN, _BOUNDED // len(block))
        for first in range(begin, end, size):
            part = slice(first, min(first + size, end))
            rows, whole = self._bounds.used[part], self._rows.used[part]
            _best_within(some @ rows[:, : some.shape[1]].T, rows, most, whole, block, first, scores, found)

    def _cheapest(self, bounding: np.ndarray, begin: int, scores: np.ndarray) -> int | None:
        """Return the number of directions that make a search from the row at `begin` fastest; None if whole products do."""
        rows = self._bounds.used[begin : begin + _SAMPLE]
        above = [
            float((some @ rows[:, : some.shape[1]].T >= scores[:, None]).mean())
            for some in (_with(bounding, directions) for directions in _DIRECTIONS)
        ]
        times = [
            _FIXED + directions + share * _CHECK + above[-1] * _WHOLE
            for directions, share in zip(_DIRECTIONS, above, strict=True)
        ]
        fastest = int(np.argmin(times))
        return _DIRECTIONS[fastest] if times[fastest] < _FIXED + self._rows.used.shape[1] else None


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
    """Return the orthonormal directions [dimensions, directions] that hold the largest part of the vectors' lengths, the
    largest first.
    """
    _, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    return np.ascontiguousarray(directions[:, : -_DIRECTIONS[-1] - 1 : -1], np.float32)


def _bounding(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return rows [vectors, columns]; the products of those of `_with` and these are upper bounds of the vectors' products.

    With p the projection on the directions, x y = p(x) p(y) + (x - p(x)) (y - p(y)), and the second term is at most
    |x - p(x)| |y - p(y)| (Cauchy-Schwarz). A row is p(x), with |x - p(x)| after each number of directions in `_DIRECTIONS`.
    """
    inside = vectors @ directions
    columns, begin = list[np.ndarray](), 0
    for end in _DIRECTIONS:
        outside = np.linalg.norm(vectors - inside[:, :end] @ directions[:, :end].T, axis=1)
        columns += [inside[:, begin:end], outside[:, None]]
        begin = end
    return np.concatenate(columns, axis=1)


def _with(bounding: np.ndarray, directions: int) -> np.ndarray:
    """Return the columns of `_bounding` for so many directions, without the lengths that belong to fewer."""
    used = _DIRECTIONS[: _DIRECTIONS.index(directions) + 1]
    some = bounding[:, : directions + len(used)].copy()
    some[:, [end + at for at, end in enumerate(used[:-1])]] = 0
    return some


def choose(
    vectors: np.ndarray, threshold: float, reference: str = "kept", threads: int | None = None
) -> ChosenVectors:
    """Keep, in order, the vectors [vectors, dimensions] whose highest cosine with the earlier ones is below a threshold.

    `reference` selects the earlier ones: `kept` or `all`. With `all` far fewer are kept, and they are no more diverse.
    `threads` search at once, by default as many as this process has processors. Raises ValueError for an unknown reference.
    """
    if reference not in REFERENCES:
        raise ValueError(f"reference {reference!r} is unknown; use one of {', '.join(REFERENCES)}")
    threads = threads or processors()
    index, positions, parts = VectorIndex(), np.empty(0, np.int64), []
    for first in range(0, len(vectors), _QUERIES):
        block = vectors[first : first + _QUERIES]
        scores, found = index.nearest(block, threads=threads)
        found = np.where(found >= 0, positions[found] if len(positions) else -1, -1)
        kept = _greedy(block @ block.T, block, first, threshold, reference == "all", scores, found)
        added = np.flatnonzero(kept) if reference == "kept" else np.arange(len(block))
        index.add(block[added])
        positions = np.concatenate([positions, first + added])
        parts.append(ChosenVectors(kept, scores, found))
    if not parts:
        return ChosenVectors(np.empty(0, np.bool_), np.empty(0), np.empty(0, np.int64))
    return ChosenVectors(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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
def nearest_chosen(
    products: np.ndarray, block: np.ndarray, query: int, chosen: np.ndarray, score: float
) -> tuple[float, int]:
    """Return the highest cosine of a query with the vectors of its block [vectors] that are chosen and come before it, and its
    first position; the given score and -1 if no cosine is higher. `products` [vectors, vectors] are those of the block.
    """
    error, found = block.shape[1] * 2.0**-23, -1
    for other in range(query):
        if chosen[other] and products[query, other] >= score - error:
            cosine = _cosine(block[other], block[query])
            if cosine > score:
                score, found = cosine, other
    return score, found


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
    kept = np.zeros(block.shape[0], np.bool_)
    chosen = np.ones(block.shape[0], np.bool_) if against_all else kept
    for query in range(block.shape[0]):
        score, other = nearest_chosen(products, block, query, chosen, scores[query])
        if other >= 0:
            scores[query], found[query] = score, begin + other
        kept[query] = scores[query] < threshold
    return kept


@compiled
def _best_within(
    bounds: np.ndarray,
    bounding: np.ndarray,
    most: np.ndarray,
    rows: np.ndarray,
    block: np.ndarray,
    begin: int,
    scores: np.ndarray,
    found: np.ndarray,
) -> None:
    """Update the highest cosine of each query with later rows, as `_best` does, from upper bounds [queries, rows] of their
    cosines. `bounding` [rows, columns] and `most` [queries, columns] give the lowest bounds.
    """
    error = block.shape[1] * 2.0**-21  # of the bounds: rounding of three products, and of the directions
    for query in range(block.shape[0]):
        least = np.float32(scores[query] - error)
        for first in range(0, rows.shape[0], _RUN):
            last = min(first + _RUN, rows.shape[0])
            if not _any_reaches(bounds[query, first:last], least):
                continue
            for row in range(first, last):
                if (
                    bounds[query, row] >= least
                    and _product(bounding[row], most[query]) >= least
                    and _product(rows[row], block[query]) >= least
                ):
                    score = _cosine(rows[row], block[query])
                    if score > scores[query]:
                        scores[query], found[query] = score, begin + row
                        least = np.float32(score - error)


@compiled
def _any_reaches(values: np.ndarray, least: np.float32) -> bool:
    """Return whether a value is this high, without a branch, so that the compiler uses vector instructions."""
    found = False
    for at in range(values.size):
        found |= values[at] >= least
    return found


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
