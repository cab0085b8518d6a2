"""Compiled longest common subsequences of token sequences: their length, its F1, and bounds that avoid computing it.

Tokens are integers from 0. Bit i of a signature is set if the number of tokens with the hash i is odd; two signatures differ
in at most as many bits as there are tokens that the texts do not share (counted with repetition), so

    common subsequence <= (m + n - differing bits) / 2

for texts of m and n tokens.
"""

import math
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_SLOTS = 128  # of a hash table, which holds 64 tokens at most
WIDE = 16  # 64-bit words of the longest signature
_SOURCES = blake2b(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))), digest_size=8
).hexdigest()
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE, _ZERO = np.uint64(1), np.uint64(0)


def compiled(function: Callable[..., Any], any_order: bool = False) -> Any:
    """Compile a function, and cache the machine code on disk if there is a writable folder. `any_order` lets the compiler
    change the order of floating-point sums.

    numba checks only the function's own file for changes, not the constants and functions that it imports, so the name of the
    cache contains a hash of all files here.
    """
    function.__qualname__ += f"_{_SOURCES}"
    try:
        return njit(cache=True, nogil=True, fastmath=any_order)(function)
    except RuntimeError:  # neither the source folder nor the user's cache is writable
        return njit(nogil=True, fastmath=any_order)(function)


def _popcount(context: Any, word: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


popcount: Any = intrinsic(_popcount)  # bits set in a 64-bit word


@compiled
def f1(common: int, m: int, n: int) -> float:
    """ROUGE-L F1 = 2PR / (P + R), P = common / n, R = common / m (lin2004rouge), by the same
    floating-point operations as `rouge_score`, so equal to it bit for bit. `common`, `m` and `n` are at least 1.
    """
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@compiled
def least_common(score: float, m: int, n: int) -> int:
    """Return the least common length with which texts of m and n tokens reach an F1 score; above min(m, n) if none does."""
    exact = score * (m + n) / 2
    least = max(1, math.ceil(exact - 1e-6))
    # Rounding matters only next to an integer, where F1 itself decides.
    return least + 1 if least <= min(m, n) and least < exact + 1e-6 and f1(least, m, n) < score else least


@compiled
def sign(tokens: np.ndarray, start: int, end: int, words: int, signature: np.ndarray) -> None:
    """Write the signature of tokens[start:end] into signature[:words]; `words` is a power of 2, at most `WIDE`."""
    signature[:words] = _ZERO
    for at in range(start, end):
        # The finaliser of splitmix64 (steele2014splittable).
        h = np.uint64(tokens[at]) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
        # Of a short text, seven of eight tokens are in the first half, which alone rules out most texts.
        among = words if words == WIDE or (h >> np.uint64(32)) & np.uint64(7) == _ZERO else max(1, words // 2)
        signature[(h >> np.uint64(6)) & np.uint64(among - 1)] ^= _ONE << (h & np.uint64(63))


@compiled
def match_tables(texts: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return empty hash tables, one for every 64 of the texts' tokens: tokens [texts, tables, size] (-1: free), and the
    positions of each token as bits [texts, tables, size]. 24 bytes a token.
    """
    shape = (texts, max(1, (longest + 63) // 64), _SLOTS)
    return np.full(shape, -1, np.int32), np.zeros(shape, np.uint64)


@compiled
def fill(keys: np.ndarray, positions: np.ndarray, tokens: np.ndarray, start: int, end: int) -> None:
    """Fill the empty tables of a text with tokens[start:end]."""
    for at in range(end - start):
        table = at >> 6
        slot = find(keys[table], tokens[start + at])
        keys[table, slot] = tokens[start + at]
        positions[table, slot] |= _ONE << np.uint64(at & 63)


@compiled
def find(keys: np.ndarray, token: int) -> int:
    """Return the slot of a token, or the free slot where it belongs."""
    slot = (token * 0x9E3779B1 >> 7) & (_SLOTS - 1)
    while keys[slot] != -1 and keys[slot] != token:
        slot = (slot + 1) & (_SLOTS - 1)
    return slot


@compiled
def common(keys: np.ndarray, positions: np.ndarray, tokens: np.ndarray, start: int, end: int) -> np.int64:
    """Return the length of the longest common subsequence of the text in the tables and tokens[start:end].

    One operation computes 64 columns of the dynamic programme (hyyro2004bit); carries go to the next 64 columns.
    """
    if keys.shape[0] == 1:
        row = _ALL
        for at in range(start, end):
            matches = row & positions[0, find(keys[0], tokens[at])]
            row = (row + matches) | (row - matches)
        return np.int64(popcount(~row))
    length, carries = _ZERO, np.zeros(end - start, np.uint64)
    for table in range(keys.shape[0]):
        row = _ALL
        for at in range(start, end):
            matches = row & positions[table, find(keys[table], tokens[at])]
            added = row + matches
            total = added + carries[at - start]
            carries[at - start] = _ONE if added < row or total < added else _ZERO
            row = total | (row - matches)
        length += popcount(~row)
    return np.int64(length)


@compiled
def grown(values: np.ndarray, needed: int) -> np.ndarray:
    """Return the values in an array with room for at least as many as needed."""
    if needed <= values.size:
        return values
    larger = np.empty(2 * needed, values.dtype)
    for at in range(values.size):  # numba takes 2 s longer to compile the assignment of a slice
        larger[at] = values[at]
    return larger
