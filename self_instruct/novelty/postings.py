"""Exact search of token sequences for the highest ROUGE-L F1 by counting shared tokens, compiled.

For each token there is a list of the sequences that hold it. How many tokens a query shares with each sequence (both counted
with repetition) bounds their common subsequence, and leaves a handful to score, however low the highest score is. Signatures
(scan.py) decide faster whether a score is above a threshold; this finds the nearest of what is far from all. Knows nothing of
texts and ids.
"""

import numpy as np

from self_instruct.novelty.sequences import Tokens
from self_instruct.novelty.subsequence import common, compiled, f1, fill, least_common, match_tables


class Postings:
    """Token sequences, searched by the tokens that they hold. A million of 14 tokens take about 120 MB."""

    def __init__(self) -> None:
        self._tokens, self._ends = np.empty(0, np.int32), np.zeros(1, np.int64)
        self.extend()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def extend(self, *added: Tokens) -> None:
        """Adds sequences. All lists are made anew, so it pays to add many at once."""
        for part in added:
            self._tokens = np.concatenate([self._tokens, part.numbers])
            self._ends = np.concatenate([self._ends, self._ends[-1] + part.ends[1:]])
        self._lists, self._starts = _listed(self._tokens, self._ends)
        self._shared = np.zeros(len(self), np.int32)

    def nearest(self, query: np.ndarray) -> tuple[float, int]:
        """The highest F1 of a query, int32 [tokens], and the first position that has it; 0 and -1 if no token is shared."""
        return _nearest(query, self._tokens, self._ends, self._lists, self._starts, self._shared)


@compiled
def _listed(tokens: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the sequences that hold each token, in ascending order, one for each time that they hold it: int32
    [tokens], and int64 [different tokens + 1] where the list of each token begins.
    """
    starts = np.zeros((tokens.max() if tokens.size else -1) + 2, np.int64)
    for token in tokens:
        starts[token + 1] += 1
    starts = np.cumsum(starts)
    lists, free = np.empty(tokens.size, np.int32), starts[:-1].copy()
    for position in range(ends.size - 1):
        for token in tokens[ends[position] : ends[position + 1]]:
            lists[free[token]] = position
            free[token] += 1
    return lists, starts


@compiled
def _nearest(
    query: np.ndarray,
    tokens: np.ndarray,
    ends: np.ndarray,
    lists: np.ndarray,
    starts: np.ndarray,
    shared: np.ndarray,
) -> tuple[float, int]:
    """`shared` is working space, zeros [sequences] and zeros again afterwards."""
    if not shared.size or not query.size:
        return 0.0, -1
    _count(query, lists, starts, shared)
    keys, places = match_tables(1, query.size)
    fill(keys[0], places[0], tokens=query, start=0, end=query.size)
    score, found = 0.0, -1
    best = _highest_bound(query.size, ends, shared)
    # What shares most is likely to be near, and then rules out nearly all others.
    if shared[best]:
        score, found = _scored(keys[0], places[0], query.size, tokens, ends, best), best
    for position in range(shared.size):
        if not shared[position]:
            continue
        n = ends[position + 1] - ends[position]
        if 2 * shared[position] < score * (query.size + n) - 1e-6 or position == best:
            continue
        if shared[position] < least_common(score, query.size, n):
            continue
        reached = _scored(keys[0], places[0], query.size, tokens, ends, position)
        if reached > score or (reached == score > 0 and position < found):
            score, found = reached, position
    shared[:] = 0
    return score, found


@compiled
def _count(query: np.ndarray, lists: np.ndarray, starts: np.ndarray, shared: np.ndarray) -> None:
    """Counts how many tokens each sequence shares with a query."""
    ordered = np.sort(query)
    at = 0
    while at < ordered.size:
        token, times = ordered[at], 0
        while at < ordered.size and ordered[at] == token:
            times, at = times + 1, at + 1
        if token + 1 >= starts.size:
            continue
        before, repeated = -1, 0
        for position in lists[starts[token] : starts[token + 1]]:
            repeated = repeated + 1 if position == before else 1
            before = position
            shared[position] += repeated <= times


@compiled
def _highest_bound(m: int, ends: np.ndarray, shared: np.ndarray) -> int:
    """The position whose F1 with a text of m tokens may be the highest."""
    best, bound = 0, -1.0
    for position in range(shared.size):
        most = shared[position] / (m + ends[position + 1] - ends[position])
        if most > bound:
            best, bound = position, most
    return best


@compiled
def _scored(
    keys: np.ndarray, places: np.ndarray, m: int, tokens: np.ndarray, ends: np.ndarray, position: int
) -> float:
    """The F1 of a sequence with the text of m tokens that some tables hold."""
    length = common(keys, places, tokens, ends[position], ends[position + 1])
    return f1(length, m, ends[position + 1] - ends[position]) if length else 0.0
