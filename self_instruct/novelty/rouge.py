"""ROUGE-L novelty: the nearest earlier text by longest common subsequence of words, exactly as `rouge_score` scores it.

F1 is 2PR / (P + R) with P and R the subsequence's share of either text (lin2004rouge), 0 if nothing is common. It is computed
from the subsequence's length by the same operations on the same floats, so that ties at a threshold fall on the same side.
Knows nothing of records: texts and ids only.
"""

from collections.abc import Sequence

from self_instruct.novelty.kernels.sequences import SequenceIndex
from self_instruct.novelty.postings import Postings
from self_instruct.novelty.tokens import Tokenizer, rouge_tokens
from self_instruct.records import Nearest

RECENT = 1024


class RougeIndex:
    """The texts that new ones are compared with, in the order in which they were added.

    The latest, fewer than `RECENT`, are scanned; all before them stand in lists by token, which are made anew for many at once.
    """

    def __init__(self, tokenizer: Tokenizer = rouge_tokens) -> None:
        self._ids: list[str] = []
        self._listed, self._recent = Postings(), SequenceIndex(tokenizer)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Adds texts under their ids; many at once is several times faster than one by one."""
        if len(ids) != len(texts):
            raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
        added = self._recent.tokens(texts)
        if len(self._recent) + len(added) < RECENT:
            self._recent.add(added)
        else:
            self._listed.extend(self._recent.drain(), added)
        self._ids.extend(ids)

    def nearest(self, text: str) -> Nearest | None:
        """The text added first among those with the highest ROUGE-L F1, and that F1; None while the index is empty."""
        if not self._ids:
            return None
        query = self._recent.tokens([text])
        score, found = self._listed.nearest(query.numbers)
        scores, later = self._recent.nearest(query, above=score)
        if later[0] >= 0:
            score, found = float(scores[0]), len(self._listed) + int(later[0])
        return Nearest(self._ids[max(0, found)], score)

    def nearest_each(self, texts: Sequence[str]) -> list[Nearest | None]:
        """The nearest of each text."""
        return [self.nearest(text) for text in texts]
