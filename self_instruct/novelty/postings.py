"""Exact search of token sequences for the highest ROUGE-L F1 by counting shared tokens, compiled.

For the k-th occurrence of each token there is a list of the sequences that contain the token at least k times. The number of
shared tokens bounds the common subsequence, so only a handful of sequences need scoring, however low the highest score is.
Signatures (scan.py) decide faster whether a score is above a threshold; this search also finds the nearest of distant texts.
"""

from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.sequences import Tokens
from self_instruct.novelty.kernels.subsequence import common, compiled, f1, fill, match_tables

_ROUNDING = 1e-6  # above the relative rounding error of a float32 bound
_BLOCK = 512  # sequences that share one stored maximum of their bounds


class Lists(NamedTuple):
    """Posting lists: the sequences that contain token t at least k times are positions[begins[i]:begins[i + 1]],
    i = first[t] + k - 1 < first[t + 1].
    """

    positions: np.ndarray  # int32 [tokens], ascending in each list
    begins: np.ndarray  # int64 [lists + 1]
    first: np.ndarray  # int64 [different tokens + 1]


class Postings:
    """Token sequences with their posting lists. A million sequences of 14 tokens take about 130 MB."""

    def __init__(self) -> None:
        self._tokens, self._ends = np.empty(0, np.int32), np.zeros(1, np.int64)
        self.extend()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def extend(self, *added: Tokens) -> None:
        """Add sequences. All lists are rebuilt, so add many at once."""
        for part in added:
            self._tokens = np.concatenate([self._tokens, part.numbers])
            self._ends = np.concatenate([self._ends, self._ends[-1] + part.ends[1:]])
        self._lists = Lists(*_listed(self._tokens, self._ends))
        self._lengths = np.diff(self._ends).astype(np.float32)
        self._shared, self._bounds = np.zeros(len(self), np.int32), np.empty(len(self), np.float32)

    def nearest(self, query: np.ndarray) -> tuple[float, int]:
        """Return the highest F1 of a query, int32 [tokens], and the first position with it; 0 and -1 if no token is shared."""
        if not len(self) or not len(query):
            return 0.0, -1
        return _nearest(query, self._tokens, self._ends, self._lists, self._lengths, self._shared, self._bounds)


@compiled
def _listed(tokens: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the posting lists, and return the fields of `Lists`."""
    different = (tokens.max() if tokens.size else -1) + 1
    times, most = np.zeros(different, np.int64), np.zeros(different, np.int64)
    for at in range(ends.size - 1):
        for token in tokens[ends[at] : ends[at + 1]]:
            times[token] += 1
            most[token] = max(most[token], times[token])
        times[tokens[ends[at] : ends[at + 1]]] = 0
    first = np.zeros(different + 1, np.int64)
    first[1:] = np.cumsum(most)
    begins = np.zeros(first[-1] + 1, np.int64)
    for at in range(ends.size - 1):
        for token in tokens[ends[at] : ends[at + 1]]:
            times[token] += 1
            begins[first[token] + times[token]] += 1
        times[tokens[ends[at] : ends[at + 1]]] = 0
    begins = np.cumsum(begins)
    positions, free = np.empty(tokens.size, np.int32), begins[:-1].copy()
    for at in range(ends.size - 1):
        for token in tokens[ends[at] : ends[at + 1]]:
            one = first[token] + times[token]
            positions[free[one]] = at
            free[one] += 1
            times[token] += 1
        times[tokens[ends[at] : ends[at + 1]]] = 0
    return positions, begins, first


@compiled
def _nearest(
    query: np.ndarray,
    tokens: np.ndarray,
    ends: np.ndarray,
    lists: Lists,
    lengths: np.ndarray,
    shared: np.ndarray,
    bounds: np.ndarray,
) -> tuple[float, int]:
    """As `Postings.nearest`; `shared` and `bounds` are buffers [sequences]; `shared` is all zeros before and after the call."""
    _count(query, lists, shared)
    m = query.size
    highest = np.empty(-(-shared.size // _BLOCK), np.float32)
    bits = highest.view(np.int32)
    for block in range(highest.size):
        begin, end = block * _BLOCK, (block + 1) * _BLOCK
        bits[block] = _bound(shared[begin:end], lengths[begin:end], np.float32(m), bounds[begin:end])
    shared[:] = 0
    keys, bits = match_tables(1, m)
    fill(keys[0], bits[0], query, 0, m)
    # Score the most promising sequence first: most of the others cannot reach its score.
    first = int(np.argmax(highest))
    if not highest[first]:
        return 0.0, -1
    found = first * _BLOCK + int(np.argmax(bounds[first * _BLOCK : (first + 1) * _BLOCK]))
    score = _scored(keys[0], bits[0], m, tokens, ends, found)
    least = np.float32(score / 2 * (1 - _ROUNDING))
    for block in range(highest.size):
        if highest[block] < least:
            continue
        for at in range(block * _BLOCK, min((block + 1) * _BLOCK, bounds.size)):
            if bounds[at] < least:
                continue
            reached = _scored(keys[0], bits[0], m, tokens, ends, at)
            if reached > score or (reached == score and at < found):
                score, found = reached, at
                least = np.float32(score / 2 * (1 - _ROUNDING))
    return score, found


@compiled
def _bound(shared: np.ndarray, lengths: np.ndarray, m: np.float32, bounds: np.ndarray) -> np.int32:
    """Write half of the highest possible F1 of each sequence with a text of m tokens; return the bits of the maximum."""
    for at in range(bounds.size):
        bounds[at] = np.float32(shared[at]) / (m + lengths[at])
    # Non-negative floats order like their bits, and the maximum of integers is vectorised.
    highest = np.int32(0)
    for bits in bounds.view(np.int32):
        highest = max(highest, bits)
    return highest


@compiled
def _count(query: np.ndarray, lists: Lists, shared: np.ndarray) -> None:
    """Add to `shared` the number of tokens that each sequence has in common with a query, counted with repetition."""
    ordered = np.sort(query)
    times = 0
    for at in range(ordered.size):
        token = ordered[at]
        if token + 1 >= lists.first.size:
            return
        times = times + 1 if at and ordered[at - 1] == token else 0
        one = lists.first[token] + times
        if one < lists.first[token + 1]:
            for position in lists.positions[lists.begins[one] : lists.begins[one + 1]]:
                shared[position] += 1


@compiled
def _scored(keys: np.ndarray, bits: np.ndarray, m: int, tokens: np.ndarray, ends: np.ndarray, position: int) -> float:
    """Return the F1 of a sequence with the text of m tokens in the tables."""
    length = common(keys, bits, tokens, ends[position], ends[position + 1])
    return f1(length, m, ends[position + 1] - ends[position]) if length else 0.0
