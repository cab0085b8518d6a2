"""Exact search of token sequences by ROUGE-L F1: what is compared, and in which order, compiled.

Sequences lie in chunks of one length each, with signatures (subsequence.py) word by word, so that a chunk is ruled out in a
few vector operations; what is left is scored. Several queries share a chunk while it is in the processor's cache. Knows
nothing of texts, ids and threads.
"""

from typing import NamedTuple

import numpy as np

from self_instruct.novelty.subsequence import (
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

CHUNK = 256  # sequences
NARROW = 4  # words of the signatures of texts up to LONG tokens; longer ones have WIDE
LONG = 64
_MANY = 12  # near texts of a chunk from which on they are scored together
_ALL, _ONE, _ZERO = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1), np.uint64(0)
_TILE = 32  # queries that share a chunk
_LONGEST = 4096  # tokens of queries that do; longer ones have large tables
_LANES = 32  # signatures that a turn of the vectorised loops takes


class Sequences(NamedTuple):
    """Token sequences in the order in which they were added, with room for more.

    `chunks` holds, for each chunk: where its signatures begin in `bits`, how many sequences it has, the chunk of the same
    length before it (-1: none), and where its tokens begin in `columns`. `heads` has the latest chunk of each length; `used`
    counts sequences, chunks, words of bits and tokens in columns.
    """

    tokens: np.ndarray  # int32 [tokens]
    ends: np.ndarray  # int64 [sequences + 1], where in `tokens` a sequence begins, and the one before it ends
    bits: np.ndarray  # uint64 [words]
    columns: (
        np.ndarray
    )  # uint32 [tokens], the first tokens of a chunk's texts, then the second ones; of texts up to LONG
    chunks: np.ndarray  # int64 [chunks, 4]
    members: np.ndarray  # int32 [chunks, CHUNK], positions of sequences
    heads: np.ndarray  # int64 [longest + 1]
    lengths: np.ndarray  # int64, in ascending order, those that there are chunks of, or may be
    used: np.ndarray  # int64 [4]


@compiled
def insert(store: Sequences, tokens: np.ndarray, ends: np.ndarray) -> None:
    """Adds the sequences tokens[ends[i]:ends[i + 1]]. There must be room for them."""
    signature = np.zeros(WIDE, np.uint64)
    for at in range(ends.size - 1):
        position = store.used[0]
        begin, length = store.ends[position], ends[at + 1] - ends[at]
        store.tokens[begin : begin + length] = tokens[ends[at] : ends[at + 1]]
        store.ends[position + 1] = begin + length
        store.used[0] += 1
        if not length:
            continue
        words = NARROW if length <= LONG else WIDE
        chunk = store.heads[length]
        if chunk < 0 or store.chunks[chunk, 1] == CHUNK:
            store.chunks[store.used[1]] = (store.used[2], 0, chunk, store.used[3])
            chunk = store.heads[length] = store.used[1]
            store.used[1] += 1
            store.used[2] += words * CHUNK
            store.used[3] += length * CHUNK if length <= LONG else 0
        sign(tokens, ends[at], ends[at + 1], words, signature)
        place = store.chunks[chunk, 1]
        for word in range(words):
            store.bits[store.chunks[chunk, 0] + word * CHUNK + place] = signature[word]
        for word in range(length if length <= LONG else 0):
            store.columns[store.chunks[chunk, 3] + word * CHUNK + place] = tokens[ends[at] + word]
        store.members[chunk, place] = position
        store.chunks[chunk, 1] += 1


@compiled
def differ(store: Sequences, chunk: int, words: int, signature: np.ndarray, most: int, differing: np.ndarray) -> int:
    """Counts in how many bits each signature of a chunk differs from a query's. How many differ in at most so many; if none
    does the counts may be too low.
    """
    begin, size = store.chunks[chunk, 0], min(CHUNK, (store.chunks[chunk, 1] + _LANES - 1) // _LANES * _LANES)
    # Slices from 0: an index that might be negative would keep the loops from being vectorised.
    row, word, counts = store.bits[begin : begin + size], signature[0], differing[:size]
    for place in range(size):
        counts[place] = popcount(row[place] ^ word)
    near = 0
    for first, last in ((1, words // 2), (words // 2, words)):
        for at in range(first, last):
            row, word = store.bits[begin + at * CHUNK : begin + at * CHUNK + size], signature[at]
            for place in range(size):
                counts[place] += popcount(row[place] ^ word)
        near = 0
        for place in range(size):
            near += counts[place] <= np.uint64(most)
        if not near:
            break
    return near


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
    """For each chosen query the position of the sequence with the highest F1, the first of equals, and that F1.

    `scores` and `found` hold what has to be beaten: a higher F1, or the same at a lower position. What nothing beats stays.
    `chosen` should be in ascending order of length. `dense` is working space, uint64 zeros [different tokens] and zeros again
    afterwards, which no other call may use meanwhile; without it (empty) chunks of many near texts take several times longer.
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
    keys, places = match_tables(tile.size, longest)
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
                    fill(keys[at], places[at], tokens, ends[query], ends[query + 1])
                scores[query], found[query] = _best_of_chunk(
                    store, chunk, m, n, keys[at], places[at], differing, scores[query], found[query]
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
    """As `_best_of_chunk`, for texts of at most 64 tokens: those that differ in at most so many bits are scored together."""
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
    """Length of the longest common subsequence of a query with each text at some places of a chunk, as `common` computes it,
    but token by token for all, so that the steps of one need not wait for those of another.
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
    places: np.ndarray,
    differing: np.ndarray,
    score: float,
    found: int,
) -> tuple[float, int]:
    """The F1 and the position that a query of m tokens has after a chunk of texts of n tokens."""
    least = least_common(score, m, n)
    for place in range(store.chunks[chunk, 1]):
        other, most = store.members[chunk, place], (m + n - np.int64(differing[place])) // 2
        if most < least or (other > found and f1(most, m, n) <= score):
            continue
        length = common(keys, places, store.tokens, store.ends[other], store.ends[other + 1])
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
    """Which queries are kept [queries], judged in order: those that have nothing above the limit among what `nearest` found
    and among the queries kept before, which the store takes up. It must be empty, with room for all; its positions are
    counted from `base`.
    """
    kept = np.zeros(ends.size - 1, np.bool_)
    score, place, only, dense = np.empty(1), np.empty(1, np.int64), np.zeros(1, np.int64), np.empty(0, np.uint64)
    for query in range(kept.size):
        # What was found before stands before these: a higher score is needed.
        score[0], place[0] = scores[query], -1
        _nearest(store, tokens, ends[query : query + 2], only, score, place, dense)
        if place[0] >= 0:
            scores[query], found[query] = score[0], base + place[0]
        kept[query] = scores[query] <= limit
        if kept[query]:
            insert(store, tokens, ends[query : query + 2])
    return kept


@compiled
def pairs(store: Sequences, chosen: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a chosen position and a lower one whose F1 is above a limit: the positions [pairs, 2], the chosen one
    first, and the F1 [pairs].
    """
    count, found, scores = 0, np.empty((1024, 2), np.int64), np.empty(1024)
    signature, differing = np.empty(WIDE, np.uint64), np.empty(CHUNK, np.uint64)
    for query in chosen:
        begin, end = store.ends[query], store.ends[query + 1]
        m = end - begin
        keys, places = match_tables(1, m)
        fill(keys[0], places[0], store.tokens, begin, end)
        for n in store.lengths:
            least = least_common(limit, m, n)
            if least > min(m, n):
                continue
            words, most = NARROW if n <= LONG else WIDE, m + n - 2 * least
            sign(store.tokens, begin, end, words, signature)
            chunk = store.heads[n]
            while chunk >= 0:
                # Members stand in ascending order.
                if store.members[chunk, 0] < query and differ(store, chunk, words, signature, most, differing):
                    if count + CHUNK > scores.size:
                        found, scores = _doubled(found, scores)
                    count = _pairs_of_chunk(
                        store, chunk, query, keys[0], places[0], differing, limit, found, scores, count
                    )
                chunk = store.chunks[chunk, 2]
    return found[:count], scores[:count]


@compiled
def _pairs_of_chunk(
    store: Sequences,
    chunk: int,
    query: int,
    keys: np.ndarray,
    places: np.ndarray,
    differing: np.ndarray,
    limit: float,
    found: np.ndarray,
    scores: np.ndarray,
    count: int,
) -> int:
    """Writes the pairs of a position and the members of a chunk behind the first `count`, and returns how many there are."""
    m = store.ends[query + 1] - store.ends[query]
    for place in range(store.chunks[chunk, 1]):
        other = store.members[chunk, place]
        n = store.ends[other + 1] - store.ends[other]
        least = least_common(limit, m, n)
        if other >= query or (m + n - np.int64(differing[place])) // 2 < least:
            continue
        length = common(keys, places, store.tokens, store.ends[other], store.ends[other + 1])
        if length >= least and f1(length, m, n) > limit:
            found[count, 0], found[count, 1], scores[count] = query, other, f1(length, m, n)
            count += 1
    return count


@compiled
def _doubled(found: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    more_found, more_scores = np.empty((2 * scores.size, 2), np.int64), np.empty(2 * scores.size)
    more_found[: scores.size], more_scores[: scores.size] = found, scores
    return more_found, more_scores
