"""Deduplicate more texts than one process can compare: find near pairs in parts, then decide in order.

The decisions are those of offline.py. Each occurrence of a word in a text is an *item*, and all items have one order. Two texts
with an F1 above a limit share so many words that the first items of one, its *prefix*, contain one of the other's prefix
(chaudhuri2006primitive). So a part of the search needs only the texts with certain words in their prefix, and compares those
that share one.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

import numpy as np

from self_instruct.novelty.kernels import pairs
from self_instruct.novelty.offline import Match

PAIR = np.dtype([("first", np.int64), ("second", np.int64), ("score", np.float64)])
"""Keys of two near texts, the smaller first, and their F1. Keys are in the order of the texts."""


def prefix(words: Sequence[str], limit: float, frequent: Mapping[str, int]) -> list[int]:
    """Return the positions of the words of a text's prefix.

    The order of the items is by their frequency in a sample of the texts, `frequent`, so that few texts share a prefix.
    """
    if limit >= 1:
        return []  # no F1 is above 1
    # Texts of m and n tokens, c of them shared: 2c / (m + n) > limit and n >= c give c > limit m / (2 - limit).
    least = max(1, math.ceil(limit * len(words) / (2 - limit) - 1e-6))
    times, items = Counter[str](), []
    for at, word in enumerate(words):
        times[word] += 1
        items.append((frequent.get(word, 0), -len(word), word, times[word], at))
    return [item[-1] for item in sorted(items)[: max(0, len(words) - least + 1)]]


def part_of(word: str, parts: int) -> int:
    """Return the part that compares the texts with this word in their prefix."""
    return crc32(word.encode("utf-8", "surrogatepass")) % parts


def near_pairs(texts: Iterable[tuple[int, Sequence[tuple[int, int]], Sequence[str]]], limit: float) -> np.ndarray:
    """Return the near pairs of a part [pairs] of type `PAIR`.

    Each text is given by its key, those items of its prefix that belong to this part, and its words; an item is given by its
    place in the prefix and the position of its word. Texts with the same tokens are paired with the first of them only, with
    a score of 1; only this one is paired with others.
    """
    first, copies = dict[tuple[int, ...], int](), list[tuple[int, int, float]]()
    keys, lengths, numbers = list[int](), list[int](), list[int]()
    groups, members, places = list[int](), list[int](), list[int]()
    known, items = dict[str, int](), dict[tuple[int, int], int]()
    for key, chosen, words in sorted(texts, key=lambda text: text[0]):
        tokens = tuple(known.setdefault(word, len(known)) for word in words)
        earlier = first.setdefault(tokens, key)
        if earlier != key:
            copies.append((earlier, key, 1.0))
            continue
        for place, at in chosen:
            groups.append(items.setdefault((tokens[at], tokens[:at].count(tokens[at])), len(items)))
            members.append(len(keys))
            places.append(place)
        keys.append(key)
        lengths.append(len(tokens))
        numbers.extend(tokens)
    sizes, names = np.array(lengths, np.int64), np.array(keys, np.int64)
    of_items = np.array(members, np.int64)
    order, begins = _grouped(np.array(groups, np.int64), sizes[of_items])
    grouped = of_items[order], np.array(places, np.int64)[order], begins
    ends = np.concatenate([[0], np.cumsum(sizes)])
    one, other, scores = pairs.near_pairs(np.array(numbers, np.int32), ends, *grouped, limit)
    near = np.empty(len(scores), PAIR)
    near["first"], near["second"] = np.sort([names[one], names[other]], axis=0)
    near["score"] = scores
    return np.unique(np.concatenate([np.array(copies, PAIR), near]))


def _grouped(groups: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of members group by group, in ascending order of size in each, and where each group begins and ends."""
    order = np.lexsort((sizes, groups))
    counts = np.bincount(groups) if len(groups) else np.empty(0, np.int64)
    return order, np.concatenate([[0], np.cumsum(counts)])


def keep_first(found: Iterable[np.ndarray]) -> dict[int, Match]:
    """Return the dropped texts by key, each with the key and score of the nearest text kept before it.

    `found` are the near pairs of all parts.
    """
    all_pairs = np.unique(np.concatenate([np.empty(0, PAIR), *found]))
    keys = np.unique(np.concatenate([all_pairs["first"], all_pairs["second"]]))
    first, second = (np.searchsorted(keys, all_pairs[name]) for name in ("first", "second"))
    scores, twins = all_pairs["score"], np.arange(len(keys))
    same = scores == 1.0  # only of equal tokens
    twins[second[same]] = first[same]
    first, second, scores = first[~same], second[~same], scores[~same]
    one, other = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort((other, one))
    begins = np.searchsorted(one[order], np.arange(len(keys) + 1))
    nearest, highest = pairs.greedy(begins, other[order], np.concatenate([scores, scores])[order], twins)
    dropped = np.flatnonzero(nearest >= 0)
    rows = zip(keys[dropped].tolist(), keys[nearest[dropped]].tolist(), highest[dropped].tolist(), strict=True)
    return {key: Match(near, score) for key, near, score in rows}
