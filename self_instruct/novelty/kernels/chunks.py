"""Compiled storage of token sequences for search: chunks of equal length, with signatures (subsequence.py) stored word by word,
so that a few vector operations rule out a chunk.
"""

from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.subsequence import WIDE, compiled, popcount, sign

CHUNK = 256  # sequences
NARROW = 4  # words of the signatures of texts up to LONG tokens; longer ones have WIDE
LONG = 64
_LANES = 32  # signatures per iteration of the vectorised loops
_ZERO = np.uint64(0)


class Sequences(NamedTuple):
    """Token sequences in the order in which they were added, with room for more.

    `chunks` holds for each chunk: the start of its signatures in `bits`, its number of sequences, the previous chunk of the
    same length (-1: none), and the start of its tokens in `columns`. `heads` has the latest chunk of each length; `used`
    counts sequences, chunks, words of bits and tokens in columns.
    """

    tokens: np.ndarray  # int32 [tokens]
    ends: np.ndarray  # int64 [sequences + 1], where in `tokens` a sequence begins, and the one before it ends
    bits: np.ndarray  # uint64 [words]
    columns: np.ndarray  # uint32 [tokens]: a chunk's first tokens, then its second ones; only of texts up to LONG
    chunks: np.ndarray  # int64 [chunks, 4]
    members: np.ndarray  # int32 [chunks, CHUNK], positions of sequences
    heads: np.ndarray  # int64 [longest + 1]
    lengths: np.ndarray  # int64, ascending: the lengths that have, or are about to get, a chunk
    used: np.ndarray  # int64 [4]


@compiled
def insert(store: Sequences, tokens: np.ndarray, ends: np.ndarray) -> None:
    """Add the sequences tokens[ends[i]:ends[i + 1]]. The caller ensures that the arrays have room."""
    signature = np.zeros(WIDE, np.uint64)
    for at in range(ends.size - 1):
        position = store.used[0]
        begin, length = store.ends[position], ends[at + 1] - ends[at]
        # numba would take 4 s longer to compile assignments of slices and tuples.
        for word in range(length):
            store.tokens[begin + word] = tokens[ends[at] + word]
        store.ends[position + 1] = begin + length
        store.used[0] += 1
        if not length:
            continue
        words = NARROW if length <= LONG else WIDE
        chunk = store.heads[length]
        if chunk < 0 or store.chunks[chunk, 1] == CHUNK:
            latest = store.chunks[store.used[1]]
            latest[0], latest[1], latest[2], latest[3] = store.used[2], 0, chunk, store.used[3]
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
    """Count the bits in which each signature of a chunk differs from a query's, and return how many signatures are within the
    limit; if none is, the counts may be too low.
    """
    begin, size = store.chunks[chunk, 0], min(CHUNK, (store.chunks[chunk, 1] + _LANES - 1) // _LANES * _LANES)
    # Slices from 0, because an index that might be negative prevents vectorisation.
    counts = differing[:size]
    # Bits that differ in one of two words are at most those that differ in both together, and are counted once for the two.
    for first in range(0, words // 2, 2):
        row = store.bits[begin + first * CHUNK : begin + first * CHUNK + size]
        other = store.bits[begin + (first + 1) * CHUNK : begin + (first + 1) * CHUNK + size]
        word, second = signature[first], signature[first + 1]
        if first == 0:
            for place in range(size):
                counts[place] = popcount((row[place] ^ word) | (other[place] ^ second))
        else:
            for place in range(size):
                counts[place] += popcount((row[place] ^ word) | (other[place] ^ second))
    if not _within(counts, most):
        return 0
    counts[:] = _ZERO
    for at in range(words):
        row, word = store.bits[begin + at * CHUNK : begin + at * CHUNK + size], signature[at]
        for place in range(size):
            counts[place] += popcount(row[place] ^ word)
    return _within(counts, most)


@compiled
def _within(counts: np.ndarray, most: int) -> int:
    near = 0
    for place in range(counts.size):
        near += counts[place] <= np.uint64(most)
    return near
