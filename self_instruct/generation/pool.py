"""The pool of records kept so far, in request order, and views of its first records.

A prompt is composed from the pool as of an earlier request, without the records that are too deep. Both limits are found by
bisection in append-only lists, so composing a prompt takes as long with a million records as with a thousand.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import overload

from self_instruct.novelty.tokens import opening
from self_instruct.records import Record


class Prefix(Sequence[Record]):
    """The first `size` records of a list that only grows."""

    def __init__(self, records: list[Record], size: int) -> None:
        self._records, self._size = records, size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        index = range(self._size)[at]
        return self._records[index] if isinstance(index, int) else [self._records[one] for one in index]


class RecordPool(Prefix):
    """The kept records, each with the number of its request, added in request order."""

    def __init__(self) -> None:
        super().__init__([], 0)
        self._requests = array("q")
        self._by_depth: dict[int, tuple[list[Record], array[int]]] = {}
        self._scanned: dict[int, int] = {}
        self._by_opening: dict[tuple[str, ...], array[int]] = {}
        self._opened = 0

    def add(self, record: Record, request: int) -> None:
        """Append a record."""
        self._records.append(record)
        self._requests.append(request)
        self._size += 1

    def before(self, request: int) -> "PoolBefore":
        """Return the records of requests below this one; records added later do not change the view."""
        return PoolBefore(self, bisect_left(self._requests, request))

    def up_to(self, depth: int, size: int) -> Prefix:
        """Return the records of at most this depth among the first `size`."""
        records, positions = self._by_depth.setdefault(depth, ([], array("q")))
        for at in range(self._scanned.get(depth, 0), self._size):
            if self._records[at].depth <= depth:
                records.append(self._records[at])
                positions.append(at)
        self._scanned[depth] = self._size
        return Prefix(records, bisect_left(positions, size))

    def with_opening(self, words: tuple[str, ...], size: int) -> int:
        """Return how many of the first `size` records have this opening."""
        for at in range(self._opened, self._size):
            self._by_opening.setdefault(opening(self._records[at].instruction), array("q")).append(at)
        self._opened = self._size
        return bisect_left(self._by_opening.get(words, ()), size)


class PoolBefore(Prefix):
    """The pool as of an earlier request: its first `size` records."""

    def __init__(self, pool: RecordPool, size: int) -> None:
        super().__init__(pool._records, size)
        self._pool = pool

    def up_to(self, depth: int) -> Prefix:
        """Return the records of at most this depth."""
        return self._pool.up_to(depth, self._size)

    def with_opening(self, words: tuple[str, ...]) -> int:
        """Return how many records have this opening."""
        return self._pool.with_opening(words, self._size)


def shallow(pool: Sequence[Record], depth: int) -> Sequence[Record]:
    """Return the records of at most this depth, in order."""
    return pool.up_to(depth) if isinstance(pool, PoolBefore) else [item for item in pool if item.depth <= depth]


def number_with_opening(pool: Sequence[Record], words: tuple[str, ...]) -> int:
    """Return how many records have this opening."""
    if isinstance(pool, PoolBefore):
        return pool.with_opening(words)
    return sum(opening(item.instruction) == words for item in pool)
