"""Find the nearest earlier text by ROUGE-L, scored exactly as by `rouge_score`.

F1 is 2PR / (P + R), where P and R are the longest common subsequence's share of each text (lin2004rouge); 0 if empty.
It is computed from the length of the subsequence by the same floating-point operations as in `rouge_score`, so a tie at a
threshold is decided the same way.
"""

from collections.abc import Sequence

from self_instruct.novelty.kernels.sequences import SequenceIndex
from self_instruct.novelty.postings import Postings
from self_instruct.novelty.tokens import Tokenizer, rouge_tokens
from self_instruct.records import Nearest

RECENT = 1024


class RougeIndex:
    """The earlier texts, in the order in which they were added.

    The latest ones, fewer than `RECENT`, are scanned; the others are in posting lists, which are rebuilt when these are full.
    """

    def __init__(self, tokenizer: Tokenizer = rouge_tokens) -> None:
        self._ids: list[str] = []
        self._listed, self._recent = Postings(), SequenceIndex(tokenizer)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Add texts under their ids; one call for many texts is several times faster than many calls."""
        if len(ids) != len(texts):
            raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
        added = self._recent.tokens(texts)
        if len(self._recent) + len(added) < RECENT:
            self._recent.add(added)
        else:
            self._listed.extend(self._recent.drain(), added)
        self._ids.extend(ids)

    def nearest(self, text: str) -> Nearest | None:
        """Return the text with the highest ROUGE-L F1 (the first added of equals) and the F1, or None if the index is empty."""
        if not self._ids:
            return None
        query = self._recent.tokens([text])
        score, found = self._listed.nearest(query.numbers)
        scores, later = self._recent.nearest(query, above=score)
        if later[0] >= 0:
            score, found = float(scores[0]), len(self._listed) + int(later[0])
        return Nearest(self._ids[max(0, found)], score)

    def nearest_each(self, texts: Sequence[str]) -> list[Nearest | None]:
        """Return the nearest earlier text for each text."""
        return [self.nearest(text) for text in texts]


def rouge_l(text: str, other: str, tokenizer: Tokenizer = rouge_tokens) -> float:
    """Return the ROUGE-L F1 of two texts."""
    index = RougeIndex(tokenizer)
    index.add([""], [text])
    nearest = index.nearest(other)
    return nearest.score if nearest else 0.0
