"""The pool: the records kept so far, in request order, and any beginning of it without a copy.

A prompt sees the pool as of an earlier request, and of that only records that are not too deep. Both are found by bisection
in lists that only grow, so that composing takes as long at a million records as at a thousand. Knows nothing of prompts.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import overload

from self_instruct.records import Record


class Beginning(Sequence[Record]):
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
        place = range(self._size)[at]
        return self._records[place] if isinstance(place, int) else [self._records[one] for one in place]


class RecordPool(Beginning):
    """Records with the request that each came from, added in request order."""

    def __init__(self) -> None:
        super().__init__([], 0)
        self._requests = array("q")
        self._shallow: dict[int, tuple[list[Record], array[int]]] = {}
        self._looked_at: dict[int, int] = {}

    def add(self, record: Record, request: int) -> None:
        """Adds a record at the end."""
        self._records.append(record)
        self._requests.append(request)
        self._size += 1

    def before(self, request: int) -> "PoolBefore":
        """The records of requests below this one: the same whatever is added later."""
        return PoolBefore(self, bisect_left(self._requests, request))

    def up_to(self, depth: int, size: int) -> Beginning:
        """Those of the first `size` records that are of at most this depth. The list of them is brought up to date."""
        records, places = self._shallow.setdefault(depth, ([], array("q")))
        for place in range(self._looked_at.get(depth, 0), self._size):
            if self._records[place].depth <= depth:
                records.append(self._records[place])
                places.append(place)
        self._looked_at[depth] = self._size
        return Beginning(records, bisect_left(places, size))


class PoolBefore(Beginning):
    """The pool as it was before some request was judged."""

    def __init__(self, pool: RecordPool, size: int) -> None:
        super().__init__(pool._records, size)
        self._pool = pool

    def up_to(self, depth: int) -> Beginning:
        """Those that are of at most this depth."""
        return self._pool.up_to(depth, self._size)


def shallow(pool: Sequence[Record], depth: int) -> Sequence[Record]:
    """The records of at most some depth, in order."""
    return pool.up_to(depth) if isinstance(pool, PoolBefore) else [item for item in pool if item.depth <= depth]
