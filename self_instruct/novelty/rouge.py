"""ROUGE-L novelty: the nearest earlier text by longest common subsequence of words, exactly as `rouge_score` scores it.

Tokens come from `rouge_score` itself. The subsequence is found by RapidFuzz over tokens mapped to single characters, which
is what makes it fast (benchmarks/rouge.py). F1 is then computed from its integer length by the same operations on the same
floats, so that ties at the threshold fall on the same side. Knows nothing of records: texts and ids only.
"""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rouge_score.tokenize import tokenize

from self_instruct.records import Nearest

_UNKNOWN = chr(0x10FFFF)


class RougeIndex:
    """The texts that new ones are compared with, in the order in which they were added."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._encoded: list[str] = []
        self._lengths = np.empty(1024, dtype=np.float64)
        self._characters: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Adds texts under their ids. Together they may have 1.1 million different tokens, as many as there are code points."""
        for name, text in zip(ids, texts, strict=True):
            if len(self._ids) == len(self._lengths):
                self._lengths = np.concatenate([self._lengths, np.empty_like(self._lengths)])
            encoded = "".join(map(self._learn, tokenize(text, None)))
            self._lengths[len(self._ids)] = len(encoded)
            self._ids.append(name)
            self._encoded.append(encoded)

    def nearest(self, text: str) -> Nearest | None:
        """The text added first among those with the highest ROUGE-L F1, and that F1; None while the index is empty.

        F1 is 2PR / (P + R) with P and R the subsequence's share of either text (lin2004rouge), 0 if nothing is common.
        """
        if not self._ids:
            return None
        encoded = self._encode(text)
        common = cdist([encoded], self._encoded, scorer=LCSseq.similarity, dtype=np.int32)[0].astype(np.float64)
        scores = _f1(common, len(encoded), self._lengths[: len(self._ids)])
        best = int(scores.argmax())
        return Nearest(self._ids[best], float(scores[best]))

    def _encode(self, text: str) -> str:
        """The tokens as a string of one character each; those that no added text has can match nothing and share one."""
        return "".join(self._characters.get(token, _UNKNOWN) for token in tokenize(text, None))

    def _learn(self, token: str) -> str:
        return self._characters.setdefault(token, chr(len(self._characters) + 1))


def _f1(common: np.ndarray, length: int, lengths: np.ndarray) -> np.ndarray:
    """The operations of `rouge_score`, in its order, on float64: bit for bit its F1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = common / lengths, common / length if length else np.zeros_like(common)
        scores = 2 * precision * recall / (precision + recall)
    return np.where(common > 0, scores, 0.0)
