"""All pairs of token sequences whose ROUGE-L F1 is above a limit, compiled; `scan` finds the highest only.

Knows nothing of texts, ids and threads.
"""

import numpy as np

from self_instruct.novelty.kernels.chunks import CHUNK, LONG, NARROW, Sequences, differ
from self_instruct.novelty.kernels.subsequence import (
    WIDE,
    common,
    compiled,
    f1,
    fill,
    least_common,
    match_tables,
    sign,
)


@compiled
def pairs_above(store: Sequences, chosen: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
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
