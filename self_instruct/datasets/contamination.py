"""Which texts share words in a row with a benchmark: by hashes of n-grams, each hit compared word by word.

Words are compared, in lower case and without punctuation, so code that is laid out otherwise is found too. Annotations of
calculators (`<<48/2=24>>`), which copies of GSM8K leave out, are not words. Knows nothing of files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from self_instruct.novelty.tokens import unicode_tokens

_ANNOTATION = re.compile(r"<<[^<>]*>>")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that every power of it keeps all bits of a number


@dataclass(frozen=True)
class BenchmarkText:
    """A field of a benchmark's task: the benchmark, the place of the task, its id, the field's name and its text."""

    benchmark: str
    place: str
    id: str
    field: str
    text: str


@dataclass(frozen=True)
class Contamination:
    """What was found of a benchmark in a text: `ngram`, words in a row, or `substring`, a whole short text; and the words."""

    kind: str
    found: BenchmarkText
    words: str

    @property
    def detail(self) -> str:
        """In words."""
        where = f"{self.found.benchmark}, {self.found.id or self.found.place}, {self.found.field}"
        return f"{len(self.words.split())} words of {where}: {self.words}"


class ContaminationIndex:
    """The texts of benchmarks. Of those with `ngram_words` words or more every n-gram counts; shorter ones count as a whole, if
    they have at least `substring_words`.
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
        """The names of the benchmarks, in order."""
        return list(dict.fromkeys(text.benchmark for text in self._texts))

    def find(self, texts: Sequence[str]) -> list[Contamination | None]:
        """For each text the first n-gram of it that is in a benchmark, or a benchmark's text that is in it; None if neither."""
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
        """Where so many words in a row are those of a benchmark's text, and the position of that text."""
        known, starts, owners = self._hashes[length]
        asked = _hashes(numbers, length)
        places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        hits = []
        for at in np.flatnonzero(known[places] == asked).tolist():
            begin = starts[places[at]]
            if np.array_equal(numbers[at : at + length], self._numbers[begin : begin + length]):
                hits.append((at, int(owners[places[at]])))
        return hits


def words_of(text: str) -> list[str]:
    """The words that are compared."""
    return unicode_tokens(_ANNOTATION.sub(" ", text) if "<<" in text else text)


def _hashes(numbers: np.ndarray, length: int) -> np.ndarray:
    """The hash of every so many numbers in a row [numbers - length + 1], uint64."""
    hashes = np.zeros(max(0, len(numbers) - length + 1), np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + numbers[offset : offset + len(hashes)]
    return hashes
