"""Compiled exact search of short token sequences by their rarest tokens.

Order the tokens of two texts of m and n tokens from rare to frequent. If c of them are shared, the first m - c + 1 of one and
the first n - c + 1 of the other share a token (chaudhuri2006primitive). So a text is in the lists of its first tokens only, and
a query reads the lists of its own first ones. Signatures (subsequence.py) rule out most texts of a list; the others are scored.
"""

from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.chunks import LONG, NARROW
from self_instruct.novelty.kernels.subsequence import (
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

WORDS = 3  # of an entry: two of a signature; the text (32 bits), the place of the token (16) and the length (16)
_PLACE, _TEXT, _LOW = np.uint64(16), np.uint64(32), np.uint64(0xFFFF)


class Items(NamedTuple):
    """The first tokens of several texts, one text after the other. Token 0 is the rarest."""

    tokens: np.ndarray  # int64 [items]
    places: np.ndarray  # int64 [items], in the order from rare to frequent
    ends: np.ndarray  # int64 [texts + 1], where in the others a text begins


class Lists(NamedTuple):
    """For each token, the texts that have it among their first ones, up to `LONG` tokens long: in one list, or in a list for
    each length.
    """

    firsts: np.ndarray  # int64 [tokens], the first list of each token
    split: np.ndarray  # bool [tokens]: the token has lists for the lengths from 0 to LONG
    begins: np.ndarray  # int64 [lists], where in `entries` a list begins
    used: np.ndarray  # int64 [lists], its number of entries
    entries: np.ndarray  # uint64 [entries, WORDS], in ascending order of texts in each list


@compiled
def insert(lists: Lists, tokens: np.ndarray, ends: np.ndarray, items: Items, first: int, chosen: np.ndarray) -> None:
    """Add texts to the lists, which must have room: those at the positions `chosen` of `items`, which has text `first` and the
    next ones.
    """
    signature = np.empty(NARROW, np.uint64)
    for at in chosen:
        text = first + at
        n = ends[text + 1] - ends[text]
        sign(tokens, ends[text], ends[text + 1], NARROW, signature)
        for item in range(items.ends[at], items.ends[at + 1]):
            token = items.tokens[item]
            which = lists.firsts[token] + (n if lists.split[token] else 0)
            entry = lists.entries[lists.begins[which] + lists.used[which]]
            entry[0], entry[1] = signature[0] ^ signature[2], signature[1] ^ signature[3]
            entry[2] = np.uint64(text) << _TEXT | np.uint64(items.places[item]) << _PLACE | np.uint64(n)
            lists.used[which] += 1


@compiled
def nearest(
    lists: Lists,
    tokens: np.ndarray,
    ends: np.ndarray,
    items: Items,
    first: int,
    chosen: np.ndarray,
    scores: np.ndarray,
    found: np.ndarray,
) -> None:
    """Find, for each chosen query, the text in the lists with the highest F1, the first of equals, and this F1.

    Queries are given as in `insert`. `scores` and `found` are updated where a text has a higher F1.
    """
    least, room, most = np.empty(LONG + 1, np.int64), np.empty(LONG + 1, np.uint64), np.empty(LONG + 1, np.uint64)
    signature, near = np.empty(NARROW, np.uint64), np.empty(1024, np.uint64)
    for at in chosen:
        query = first + at
        m = ends[query + 1] - ends[query]
        for n in range(LONG + 1):
            # `least` tokens must be shared, places must be below `room`, and at most `most` bits may differ.
            least[n] = least_common(scores[at], m, n) if n else m + 1
            possible = least[n] <= min(m, n)
            room[n] = n - least[n] + 1 if possible else 0
            most[n] = m + n - 2 * least[n] if possible else 0
        sign(tokens, ends[query], ends[query + 1], NARROW, signature)
        one, other, count = signature[0] ^ signature[2], signature[1] ^ signature[3], np.int64(0)
        for item in range(items.ends[at], items.ends[at + 1]):
            token = items.tokens[item]
            for n in range(LONG + 1 if lists.split[token] else 1):
                if lists.split[token] and least[n] > min(n, m - items.places[item]):
                    continue
                which = lists.firsts[token] + n
                entries = lists.entries[lists.begins[which] : lists.begins[which] + lists.used[which]]
                near = grown(near, count + entries.shape[0])
                count = _within(entries, one, other, room, most, near, count)
        if count:
            scores[at], found[at] = _best(tokens, ends, query, near[:count], scores[at], found[at])


@compiled
def _within(
    entries: np.ndarray,
    one: np.uint64,
    other: np.uint64,
    room: np.ndarray,
    most: np.ndarray,
    near: np.ndarray,
    count: np.int64,
) -> np.int64:
    """Append to near[:count] the entries that the place and the signature do not rule out. Return the new count."""
    new = np.uint64(count)  # an index that might be negative takes longer
    for at in range(entries.shape[0]):
        about = entries[at, 2]
        n = about & _LOW
        near[new] = about
        if about >> _PLACE & _LOW < room[n]:
            new += np.uint64(popcount(entries[at, 0] ^ one) + popcount(entries[at, 1] ^ other) <= most[n])
    return np.int64(new)


@compiled
def _best(
    tokens: np.ndarray, ends: np.ndarray, query: int, near: np.ndarray, score: float, found: np.int64
) -> tuple[float, np.int64]:
    """Return the best F1 and text of a query after the texts in `near`."""
    m = ends[query + 1] - ends[query]
    keys, positions = match_tables(1, m)
    fill(keys[0], positions[0], tokens, ends[query], ends[query + 1])
    for about in near:
        text = np.int64(about >> _TEXT)
        n = ends[text + 1] - ends[text]
        length = common(keys[0], positions[0], tokens, ends[text], ends[text + 1])
        if length < least_common(score, m, n):
            continue
        reached = f1(length, m, n)
        if reached > score or text < found:
            score, found = reached, text
    return score, found
