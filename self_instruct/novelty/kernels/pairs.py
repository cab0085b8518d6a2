"""Compiled search for all near pairs in groups of token sequences, and greedy selection among near pairs.

Signatures (subsequence.py) rule out most pairs of a group; the others are scored.
"""

import numpy as np

from self_instruct.novelty.kernels.chunks import LONG, NARROW
from self_instruct.novelty.kernels.subsequence import (
    WIDE,
    common,
    compiled,
    f1,
    fill,
    grown,
    least_common,
    match_tables,
    popcount,
    sign,
)


@compiled
def near_pairs(
    tokens: np.ndarray, ends: np.ndarray, members: np.ndarray, places: np.ndarray, begins: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of sequences in one group with an F1 above a limit: positions, positions and scores [pairs].

    Group i is members[begins[i]:begins[i + 1]], positions in ascending order of length; they share an item, whose place in the
    order of all items of a text is in `places` [members]. If c of the items of texts of m and n tokens are shared, the first
    one that is shared has a place below m - c + 1 and n - c + 1. So a pair is returned at least once for one of its groups.
    """
    narrow, wide = _signatures(tokens, ends, NARROW), _signatures(tokens, ends, WIDE)
    sizes = ends[members + 1] - ends[members]
    one, other, scores, used = np.empty(1024, np.int64), np.empty(1024, np.int64), np.empty(1024), 0
    for group in range(begins.size - 1):
        for place in range(begins[group], begins[group + 1]):
            query = members[place]
            m = sizes[place]
            keys, bits = match_tables(0, m)
            n, least, most, room = 0, 0, np.uint64(0), 0
            for later in range(place + 1, begins[group + 1]):
                text = members[later]
                if sizes[later] != n:
                    n = sizes[later]
                    least = least_common(limit, m, n)
                    if least > m - places[place]:
                        break  # the others are longer still
                    most, room = np.uint64(m + n - 2 * least), n - least
                if (
                    places[later] > room
                    or _differ(narrow, query, text, most)
                    or (n > LONG and _differ(wide, query, text, most))
                ):
                    continue
                if not keys.shape[0]:
                    keys, bits = match_tables(1, m)
                    fill(keys[0], bits[0], tokens, ends[query], ends[query + 1])
                length = common(keys[0], bits[0], tokens, ends[text], ends[text + 1])
                if length < least or f1(length, m, n) <= limit:
                    continue
                one, other, scores = grown(one, used + 1), grown(other, used + 1), grown(scores, used + 1)
                one[used], other[used], scores[used] = query, text, f1(length, m, n)
                used += 1
    return one[:used], other[:used], scores[:used]


@compiled
def _signatures(tokens: np.ndarray, ends: np.ndarray, words: int) -> np.ndarray:
    signatures = np.empty((ends.size - 1, words), np.uint64)
    for at in range(ends.size - 1):
        sign(tokens, ends[at], ends[at + 1], words, signatures[at])
    return signatures


@compiled
def _differ(signatures: np.ndarray, one: int, other: int, most: np.uint64) -> bool:
    """Return whether two signatures differ in more than `most` bits."""
    bits = np.uint64(0)
    for word in range(signatures.shape[1]):
        bits += popcount(signatures[one, word] ^ signatures[other, word])
        if bits > most:
            return True
    return False


@compiled
def greedy(
    begins: np.ndarray, neighbours: np.ndarray, scores: np.ndarray, twins: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keep, in order, the texts that are near to no text kept before. Return the nearest of those, the first of equals, and
    its score [texts]; -1 and 0 for a kept text.

    neighbours[begins[i]:begins[i + 1]] are the texts near to i, before or after it, in ascending order, with their scores.
    `twins` has the first text with the same tokens as i, itself if there is none; only this one is among the neighbours.
    """
    found, highest = np.full(twins.size, -1), np.zeros(twins.size)
    for at in range(twins.size):
        first = twins[at]
        if first != at and found[first] < 0:
            found[at], highest[at] = first, 1.0
            continue
        for place in range(begins[first], begins[first + 1]):
            other = neighbours[place]
            if other >= at:
                break
            if found[other] < 0 and scores[place] > highest[at]:
                found[at], highest[at] = other, scores[place]
    return found, highest
