"""ROUGE-L novelty: the nearest earlier text by longest common subsequence of words, exactly as `rouge_score` scores it.

F1 is 2PR / (P + R) with P and R the subsequence's share of either text (lin2004rouge), 0 if nothing is common. It is computed
from the subsequence's length by the same operations on the same floats, so that ties at a threshold fall on the same side.
Knows nothing of records: texts and ids only.
"""

from collections.abc import Sequence

from self_instruct.novelty.sequences import SequenceIndex
from self_instruct.novelty.tokens import Tokenizer, rouge_tokens
from self_instruct.records import Nearest


class RougeIndex:
    """The texts that new ones are compared with, in the order in which they were added."""

    def __init__(self, tokenizer: Tokenizer = rouge_tokens) -> None:
        self._ids: list[str] = []
        self._sequences = SequenceIndex(tokenizer)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Adds texts under their ids; many at once is several times faster than one by one."""
        if len(ids) != len(texts):
            raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
        self._sequences.add(self._sequences.tokens(texts))
        self._ids.extend(ids)

    def nearest(self, text: str) -> Nearest | None:
        """The text added first among those with the highest ROUGE-L F1, and that F1; None while the index is empty."""
        return self.nearest_each([text])[0]

    def nearest_each(self, texts: Sequence[str]) -> list[Nearest | None]:
        """The nearest of each text; asking for many at once is faster."""
        if not self._ids:
            return [None] * len(texts)
        scores, found = self._sequences.nearest(self._sequences.tokens(texts))
        return [
            Nearest(self._ids[max(0, at)], score) for at, score in zip(found.tolist(), scores.tolist(), strict=True)
        ]
