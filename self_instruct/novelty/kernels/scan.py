"""Compiled exact search of token sequences for the highest ROUGE-L F1.

Signatures rule out sequences that cannot reach the score found so far; the others are scored. Several queries share a chunk
while it is in the processor's cache.
"""

import numpy as np

from self_instruct.novelty.kernels.chunks import CHUNK, LONG, NARROW, Sequences, differ, insert
from self_instruct.novelty.kernels.subsequence import (
    WIDE,
    common,
    compiled,
    f1,
    fill,
    least_common,
    match_tables,
    popcount,
    sign,
)

_MANY = 12  # score the near texts of a chunk together if there are at least this many
_TILE = 32  # queries that share a chunk
_LONGEST = 4096  # tokens; longer queries have large tables, so each is searched alone
_ALL, _ONE, _ZERO = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1), np.uint64(0)


@compiled
def nearest(
    store: Sequences,
    tokens: np.ndarray,
    ends: np.ndarray,
    chosen: np.ndarray,
    scores: np.ndarray,
    found: np.ndarray,
    dense: np.ndarray,
) -> None:
    """Find, for each chosen query, the position and the F1 of the sequence with the highest F1, the first of equals.

    `scores` and `found` are updated where a sequence has a higher F1, or the same F1 at a lower position. `chosen` should be
    in ascending order of length. `dense` is a buffer of uint64 zeros [different tokens], zeros again after the call, and not
    shared between concurrent calls; if it is empty, chunks of many near texts take several times longer.
    """
    begin = 0
    while begin < chosen.size:
        last = chosen[min(begin + _TILE, chosen.size) - 1]
        end = begin + (_TILE if ends[last + 1] - ends[last] <= _LONGEST else 1)
        _nearest(store, tokens, ends, chosen[begin:end], scores, found, dense)
        begin = end


@compiled
def _nearest(
    store: Sequences,
    tokens: np.ndarray,
    ends: np.ndarray,
    tile: np.ndarray,
    scores: np.ndarray,
    found: np.ndarray,
    dense: np.ndarray,
) -> None:
    narrow, wide = np.empty((tile.size, NARROW), np.uint64), np.empty((tile.size, WIDE), np.uint64)
    for at in range(tile.size):
        sign(tokens, ends[tile[at]], ends[tile[at] + 1], NARROW, narrow[at])
        sign(tokens, ends[tile[at]], ends[tile[at] + 1], WIDE, wide[at])
    differing = np.empty(CHUNK, np.uint64)
    longest = 0
    for query in tile:
        longest = max(longest, ends[query + 1] - ends[query])
    keys, positions = match_tables(tile.size, longest)
    filled = np.zeros(tile.size, np.bool_)  # a query that is ruled out everywhere needs no table
    middle = tile[tile.size // 2]
    centre = ends[middle + 1] - ends[middle]
    # The nearest lengths first: they allow the highest scores, which then rule out more.
    right = np.searchsorted(store.lengths, centre)
    left = right - 1
    while left >= 0 or right < store.lengths.size:
        if left < 0 or (right < store.lengths.size and store.lengths[right] - centre <= centre - store.lengths[left]):
            n, right = store.lengths[right], right + 1
        else:
            n, left = store.lengths[left], left - 1
        chunk = store.heads[n]
        while chunk >= 0:
            for at in range(tile.size):
                query = tile[at]
                m = ends[query + 1] - ends[query]
                least = least_common(scores[query], m, n)
                signature, words = (narrow[at], NARROW) if n <= LONG else (wide[at], WIDE)
                most = m + n - 2 * least
                near = differ(store, chunk, words, signature, most, differing) if least <= min(m, n) else 0
                if not near:
                    continue
                if near >= _MANY and dense.size and max(m, n) <= LONG:
                    text = tokens[ends[query] : ends[query + 1]]
                    scores[query], found[query] = _best_together(
                        store, chunk, text, n, most, differing, dense, scores[query], found[query]
                    )
                    continue
                if not filled[at]:
                    filled[at] = True
                    fill(keys[at], positions[at], tokens, ends[query], ends[query + 1])
                scores[query], found[query] = _best_of_chunk(
                    store, chunk, m, n, keys[at], positions[at], differing, scores[query], found[query]
                )
            chunk = store.chunks[chunk, 2]


@compiled
def _best_together(
    store: Sequences,
    chunk: int,
    query: np.ndarray,
    n: int,
    most: int,
    differing: np.ndarray,
    dense: np.ndarray,
    score: float,
    found: int,
) -> tuple[float, int]:
    """As `_best_of_chunk`, for texts of at most 64 tokens: score all texts within the limit of differing bits together."""
    near, count = np.empty(CHUNK, np.uint32), 0
    for place in range(store.chunks[chunk, 1]):
        if differing[place] <= np.uint64(most):
            near[count] = place
            count += 1
    lengths = _common_together(store, chunk, query, n, near[:count], dense)
    least = least_common(score, query.size, n)
    for at in range(count):
        if lengths[at] < least:
            continue
        reached, other = f1(lengths[at], query.size, n), store.members[chunk, near[at]]
        if reached > score or other < found:
            score, found = reached, other
            least = least_common(score, query.size, n)
    return score, found


@compiled
def _common_together(
    store: Sequences, chunk: int, query: np.ndarray, n: int, near: np.ndarray, dense: np.ndarray
) -> np.ndarray:
    """Compute the length of the longest common subsequence of a query with several texts of a chunk, as `common` does, but
    token by token for all texts, so that the processor can overlap their steps.
    """
    for at in range(query.size):
        if query[at] < dense.size:
            dense[query[at]] |= _ONE << np.uint64(at)
    rows = np.full(near.size, _ALL, np.uint64)
    for at in range(n):
        begin = store.chunks[chunk, 3] + at * CHUNK
        column = store.columns[begin : begin + CHUNK]
        for one in range(near.size):
            row = rows[one]
            matches = row & dense[column[near[one]]]
            rows[one] = (row + matches) | (row - matches)
    for token in query:
        if token < dense.size:
            dense[token] = _ZERO
    lengths = np.empty(near.size, np.int64)
    for one in range(near.size):
        lengths[one] = popcount(~rows[one])
    return lengths


@compiled
def _best_of_chunk(
    store: Sequences,
    chunk: int,
    m: int,
    n: int,
    keys: np.ndarray,
    positions: np.ndarray,
    differing: np.ndarray,
    score: float,
    found: int,
) -> tuple[float, int]:
    """Return the best F1 and position of a query of m tokens after a chunk of texts of n tokens."""
    least = least_common(score, m, n)
    for place in range(store.chunks[chunk, 1]):
        other, most = store.members[chunk, place], (m + n - np.int64(differing[place])) // 2
        if most < least or (other > found and f1(most, m, n) <= score):
            continue
        length = common(keys, positions, store.tokens, store.ends[other], store.ends[other + 1])
        if length < least:
            continue
        reached = f1(length, m, n)
        if reached > score or other < found:
            score, found = reached, other
            least = least_common(score, m, n)
    return score, found


@compiled
def greedy(
    store: Sequences,
    tokens: np.ndarray,
    ends: np.ndarray,
    scores: np.ndarray,
    found: np.ndarray,
    base: int,
    limit: float,
) -> np.ndarray:
    """Return which queries are kept [queries], in order: those with no score above the limit, neither in the results of
    `nearest` nor among the queries kept before. Kept queries go to the store, which must be empty with room for all; its
    positions count from `base`.
    """
    kept = np.zeros(ends.size - 1, np.bool_)
    score, place, only, dense = np.empty(1), np.empty(1, np.int64), np.zeros(1, np.int64), np.empty(0, np.uint64)
    for query in range(kept.size):
        # Earlier results have lower positions, so only a higher score replaces them.
        score[0], place[0] = scores[query], -1
        _nearest(store, tokens, ends[query : query + 2], only, score, place, dense)
        if place[0] >= 0:
            scores[query], found[query] = score[0], base + place[0]
        kept[query] = scores[query] <= limit
        if kept[query]:
            insert(store, tokens, ends[query : query + 2])
    return kept
