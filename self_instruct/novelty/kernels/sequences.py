"""A searchable index of token sequences: it maps words to integers, grows its arrays, and threads many queries.

Positions count from 0 in the order of adding.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from self_instruct.novelty.kernels import chunks, scan
from self_instruct.novelty.kernels.subsequence import WIDE
from self_instruct.novelty.tokens import Tokenizer

_SHARE = 64  # fewest queries per thread


class Tokens(NamedTuple):
    """Token sequences, one after the other: int32 [tokens], and int64 [sequences + 1] where each begins."""

    numbers: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def lengths(self, positions: np.ndarray) -> np.ndarray:
        """Return the numbers of tokens of the sequences at the positions."""
        return self.ends[positions + 1] - self.ends[positions]

    def part(self, begin: int, end: int) -> "Tokens":
        """Return the sequences from `begin` to `end`."""
        first, last = self.ends[[begin, end]]
        return Tokens(self.numbers[first:last], self.ends[begin : end + 1] - first)

    def chosen(self, positions: np.ndarray) -> "Tokens":
        """Return the sequences at the positions."""
        lengths = self.lengths(positions)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        inside = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
        return Tokens(self.numbers[np.repeat(self.ends[positions], lengths) + inside], ends)


class _Vocabulary(dict[str, int]):
    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class SequenceIndex:
    """Token sequences and the exact search among them. A million instructions of 14 words take about 150 MB."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._vocabulary = tokenizer, _Vocabulary()
        self._dense = np.zeros(0, np.uint64)
        self._clear()

    def _clear(self) -> None:
        self._store = chunks.Sequences(
            tokens=np.empty(0, np.int32), ends=np.zeros(1, np.int64), bits=np.empty(0, np.uint64),
            columns=np.empty(0, np.uint32),
            chunks=np.empty((0, 4), np.int64), members=np.empty((0, chunks.CHUNK), np.int32),
            heads=np.full(1, -1, np.int64), lengths=np.empty(0, np.int64), used=np.zeros(4, np.int64),
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self._store.used[0])

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Tokenize texts and return the tokens as integers; new words get the next integers."""
        rows = [list(map(self._vocabulary.__getitem__, self._tokenizer(text))) for text in texts]
        ends = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=ends[1:])
        return Tokens(np.fromiter(chain.from_iterable(rows), np.int32, ends[-1]), ends)

    def add(self, added: Tokens) -> None:
        """Add sequences returned by `tokens` of this index."""
        self._make_room(added)
        chunks.insert(self._store, added.numbers, added.ends)

    def drain(self) -> Tokens:
        """Remove and return all sequences; the vocabulary stays."""
        ends = self._store.ends[: len(self) + 1]
        taken = Tokens(self._store.tokens[: ends[-1]], ends)
        self._clear()
        return taken

    def nearest(
        self, queries: Tokens, above: float | np.ndarray = 0.0, threads: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each query, the highest F1 above a score and its position, the first of equals [queries]; the given score
        and -1 where no F1 is above it. `above` is one score, or one for each query.
        """
        scores, found = np.full(len(queries), above), np.full(len(queries), -1)
        order = np.argsort(np.diff(queries.ends), kind="stable")

        dense = self._dense = _grown(self._dense, len(self._vocabulary))
        if threads > 1:  # the buffer serves one thread
            dense = dense[:0]

        def search(part: np.ndarray) -> None:
            scan.nearest(self._store, queries.numbers, queries.ends, part, scores, found, dense)

        in_threads(search, order, threads)
        return scores, found

    def choose_new(
        self, queries: Tokens, scores: np.ndarray, found: np.ndarray, base: int, limit: float
    ) -> np.ndarray:
        """Choose, in order, the queries with no score above a limit, neither in the results of `nearest` nor with a query that
        was chosen before. Return which ones were chosen [queries], and update `scores` and `found` for all; in `found`, the
        positions of chosen queries count from `base`, which must be above all others.
        """
        fresh = SequenceIndex(self._tokenizer)
        fresh._make_room(queries)
        return scan.greedy(fresh._store, queries.numbers, queries.ends, scores, found, base, limit)

    def _make_room(self, added: Tokens) -> None:
        store, lengths = self._store, np.diff(added.ends)
        heads = _grown(store.heads, int(lengths.max(initial=0)) + 1, -1)
        more = words = columns = 0
        present, counts = np.unique(lengths[lengths > 0], return_counts=True)
        for length, count in zip(present.tolist(), counts.tolist(), strict=True):
            free = chunks.CHUNK - store.chunks[heads[length], 1] if heads[length] >= 0 else 0
            new = -(-max(0, count - free) // chunks.CHUNK)
            more += new
            columns += new * chunks.CHUNK * (length if length <= chunks.LONG else 0)
            words += new * chunks.CHUNK * (chunks.NARROW if length <= chunks.LONG else WIDE)
        sequences, used_chunks, used_words, used_columns = store.used.tolist()
        self._store = store._replace(
            tokens=_grown(store.tokens, int(store.ends[sequences]) + len(added.numbers)),
            ends=_grown(store.ends, sequences + len(added) + 1),
            bits=_grown(store.bits, used_words + words),
            columns=_grown(store.columns, used_columns + columns),
            chunks=_grown(store.chunks, used_chunks + more),
            members=_grown(store.members, used_chunks + more),
            heads=heads,
            lengths=np.union1d(store.lengths, present),
        )


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[np.ndarray], Any], items: np.ndarray, threads: int) -> None:
    """Run the work on parts of the items in threads. The items are dealt out to the parts in turn, so that items in ascending
    order of work are shared evenly.
    """
    parts = min(4 * threads, len(items) // _SHARE)
    if threads == 1 or parts < 2:
        work(items)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [items[at::parts] for at in range(parts)]))


def _grown(rows: np.ndarray, needed: int, fill: int = 0) -> np.ndarray:
    """Return the rows in an array with room for at least as many as needed."""
    if needed <= len(rows):
        return rows
    grown = np.full((max(needed, len(rows) * 3 // 2), *rows.shape[1:]), fill, rows.dtype)
    grown[: len(rows)] = rows
    return grown
