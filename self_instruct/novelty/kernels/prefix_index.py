"""A searchable index of token sequences that are all known before the search, so that their rarest tokens are known too.

It serves lengths at which few texts share rare tokens (`listed`); there, prefixes.py is several times faster than scan.py.
"""

import numpy as np

from self_instruct.novelty.kernels import prefixes
from self_instruct.novelty.kernels.chunks import LONG
from self_instruct.novelty.kernels.prefixes import WORDS, Items, Lists
from self_instruct.novelty.kernels.sequences import Tokens, in_threads

_SPLIT = 256  # texts with a token, from which on it has a list for each length
_FEW = 0.5  # texts of a length that a query may read, as a share of all
_SAMPLE = 1 << 16  # texts from which this share is estimated
_BLOCK = 1 << 16  # texts whose items are counted together


class PrefixIndex:
    """The texts of a file [texts], of which some are added; positions are those in the file.

    `listed` [LONG + 1] says for each length whether texts of it can be added.
    """

    def __init__(self, tokens: Tokens, limit: float) -> None:
        self._tokens, self._limit = tokens, limit
        # The most tokens of a text whose F1 with one of LONG tokens can be above the limit.
        self._longest = LONG * (2 - limit) / limit if limit > 0 else np.inf
        counts = np.bincount(tokens.numbers)
        order = np.argsort(counts, kind="stable")
        self._rarity = np.empty(len(counts), np.int64)
        self._rarity[order] = np.arange(len(counts))
        self.listed = np.arange(LONG + 1) > 0
        self.listed &= self._share_read() < _FEW
        self._lists = self._allocated(counts[order] >= _SPLIT)

    def nearest(self, begin: int, end: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each text from `begin` to `end`, the highest F1 above the limit with an added text, and its position, the
        first of equals [texts]; the limit and -1 where no F1 is above it.
        """
        scores, found = np.full(end - begin, self._limit), np.full(end - begin, -1)
        if self.listed.any():
            items = self._items(np.arange(begin, end))
            order = np.argsort(np.diff(self._tokens.ends[begin : end + 1]), kind="stable")
            about = (self._lists, *self._tokens, items, begin)
            in_threads(lambda part: prefixes.nearest(*about, part, scores, found), order, threads)
        return scores, found

    def add(self, begin: int, end: int, chosen: np.ndarray) -> np.ndarray:
        """Add texts, given as positions from `begin`, in ascending order. Return which are of a listed length, and so added."""
        added = self._is_listed(begin + chosen)
        if added.any():
            prefixes.insert(self._lists, *self._tokens, self._items(np.arange(begin, end)), begin, chosen[added])
        return added

    def _is_listed(self, texts: np.ndarray) -> np.ndarray:
        lengths = self._tokens.lengths(texts)
        return (lengths <= LONG) & self.listed[np.minimum(lengths, LONG)]

    def _items(self, texts: np.ndarray) -> Items:
        """Return the first tokens of texts, each token once: enough to find any listed text with an F1 above the limit."""
        short = np.flatnonzero(self._tokens.lengths(texts) <= self._longest)
        numbers, ends = self._tokens.chosen(texts[short])
        lengths = np.diff(ends)
        # One number for each occurrence, which sorts by text and then by rarity.
        tokens = np.sort(np.repeat(short, lengths) * len(self._rarity) + self._rarity[numbers])
        places = np.arange(len(tokens)) - np.repeat(ends[:-1], lengths)
        # 2c / (m + n) > limit and n >= c give c > limit m / (2 - limit).
        limit = min(self._limit, 1.0)
        least = np.maximum(1, np.ceil(limit * lengths / (2 - limit) - 1e-6)).astype(np.int64)
        taken = places <= np.repeat(lengths - least, lengths)
        taken[1:] &= tokens[1:] != tokens[:-1]
        text, token = np.divmod(tokens[taken], len(self._rarity))
        return Items(token, places[taken], np.searchsorted(text, np.arange(len(texts) + 1)))

    def _share_read(self) -> np.ndarray:
        """Return, for each length, how many entries of that length a query of the same length would read, as a share of its
        texts, estimated from a sample.
        """
        number = len(self._tokens)
        sample = np.arange(0, number, max(1, -(-number // _SAMPLE)))
        sample = sample[self._is_listed(sample)]
        items, lengths = self._items(sample), self._tokens.lengths(sample)
        of_items = np.repeat(lengths, np.diff(items.ends))
        pairs, counts = np.unique(items.tokens * (LONG + 1) + of_items, return_counts=True)
        read = np.bincount(pairs % (LONG + 1), counts * (counts - 1.0), LONG + 1)
        texts = np.bincount(lengths, minlength=LONG + 1)
        return read / np.maximum(1, texts * (texts - 1))

    def _allocated(self, split: np.ndarray) -> Lists:
        """Return lists with room for all texts of the listed lengths; `split` tells which tokens have several."""
        firsts = np.concatenate([[0], np.cumsum(np.where(split, LONG + 1, 1))])
        room = np.zeros(firsts[-1], np.int64)
        for begin in range(0, len(self._tokens), _BLOCK):
            texts = np.arange(begin, min(begin + _BLOCK, len(self._tokens)))
            texts = texts[self._is_listed(texts)]
            items = self._items(texts)
            lengths = np.repeat(self._tokens.lengths(texts), np.diff(items.ends))
            room += np.bincount(firsts[items.tokens] + np.where(split[items.tokens], lengths, 0), minlength=len(room))
        begins = np.concatenate([[0], np.cumsum(room)])
        entries = np.empty((begins[-1], WORDS), np.uint64)
        return Lists(firsts[:-1], split, begins[:-1], np.zeros(len(room), np.int64), entries)
