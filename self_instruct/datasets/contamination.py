"""Find texts that share consecutive words with a benchmark: look up hashes of n-grams, then compare each hit word by word.

Words are lower-cased and without punctuation, so code with a different layout is found too. Calculator annotations
(`<<48/2=24>>`), which copies of GSM8K leave out, are not words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from self_instruct.novelty.tokens import unicode_tokens

_ANNOTATION = re.compile(r"<<[^<>]*>>")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by a power of it loses no bits


@dataclass(frozen=True)
class BenchmarkText:
    """A field of a benchmark task: the benchmark, the task's location and id, the field's name and its text."""

    benchmark: str
    place: str
    id: str
    field: str
    text: str


@dataclass(frozen=True)
class Contamination:
    """A match with a benchmark: its kind (`ngram`, consecutive words, or `substring`, a whole short text) and the words."""

    kind: str
    found: BenchmarkText
    words: str

    @property
    def detail(self) -> str:
        """A description of the match for people."""
        where = f"{self.found.benchmark}, {self.found.id or self.found.place}, {self.found.field}"
        return f"{len(self.words.split())} words of {where}: {self.words}"


class ContaminationIndex:
    """An index of benchmark texts. Texts of `ngram_words` words or more are indexed by n-gram, shorter ones as a whole if they
    have at least `substring_words` words. `searched` counts the indexed texts.
    """

    def __init__(self, texts: Sequence[BenchmarkText], ngram_words: int = 13, substring_words: int = 8) -> None:
        self._texts, self._ngram_words, self._vocabulary = texts, ngram_words, dict[str, int]()
        self.searched = 0
        rows = [words_of(text.text) for text in texts]
        self._numbers = np.array(
            [self._vocabulary.setdefault(word, len(self._vocabulary) + 1) for row in rows for word in row], np.uint64
        )  # fmt: skip
        lengths = np.array([len(row) for row in rows], np.int64)
        begins = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        self._hashes: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for length in sorted({min(int(number), ngram_words) for number in lengths if number >= substring_words}):
            chosen = np.flatnonzero(lengths == length) if length < ngram_words else np.flatnonzero(lengths >= length)
            starts = np.concatenate([begins[at] + np.arange(lengths[at] - length + 1) for at in chosen])
            owners = np.repeat(chosen, lengths[chosen] - length + 1)
            hashes = _hashes(self._numbers, length)[starts]
            order = np.argsort(hashes, kind="stable")
            self._hashes[length] = hashes[order], starts[order], owners[order]
            self.searched += len(chosen)

    @property
    def benchmarks(self) -> list[str]:
        """The names of the benchmarks in order."""
        return list(dict.fromkeys(text.benchmark for text in self._texts))

    def find(self, texts: Sequence[str]) -> list[Contamination | None]:
        """Return for each text its first n-gram that is in a benchmark, or a short benchmark text that it contains, or None."""
        rows = [words_of(text) for text in texts]
        ends = np.cumsum([0, *map(len, rows)])
        number = self._vocabulary.get
        numbers = np.fromiter((number(word, 0) for row in rows for word in row), np.uint64, ends[-1])
        found: list[Contamination | None] = [None] * len(texts)
        for length in sorted(self._hashes, reverse=True):
            for at, owner in self._hits(numbers, length):
                text = int(np.searchsorted(ends, at, side="right")) - 1
                if found[text] is None and at + length <= ends[text + 1]:
                    words = " ".join(rows[text][at - ends[text] : at - ends[text] + length])
                    kind = "ngram" if length == self._ngram_words else "substring"
                    found[text] = Contamination(kind, self._texts[owner], words)
        return found

    def _hits(self, numbers: np.ndarray, length: int) -> list[tuple[int, int]]:
        """Return the positions of `length` consecutive words that match a benchmark text, each with the index of that text."""
        known, starts, owners = self._hashes[length]
        asked = _hashes(numbers, length)
        positions = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        hits = []
        for at in np.flatnonzero(known[positions] == asked).tolist():
            begin = starts[positions[at]]
            if np.array_equal(numbers[at : at + length], self._numbers[begin : begin + length]):
                hits.append((at, int(owners[positions[at]])))
        return hits


def words_of(text: str) -> list[str]:
    """Return the words to compare."""
    return unicode_tokens(_ANNOTATION.sub(" ", text) if "<<" in text else text)


def _hashes(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return the hash of every `length` consecutive numbers, uint64 [numbers - length + 1]."""
    hashes = np.zeros(max(0, len(numbers) - length + 1), np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + numbers[offset : offset + len(hashes)]
    return hashes
