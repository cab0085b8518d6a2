"""Measure how diverse a set of instructions is.

Every measure depends on the number of texts. Therefore only the first N are measured, where N is one of `SIZES`, and sets are
compared at the same N.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from self_instruct.novelty.tokens import opening, unicode_tokens

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
OPENINGS = 5  # pairs of first words
_ALL = 1.01  # a threshold above every score, so that all texts are kept and each is compared with all earlier ones
_LONGEST = 400  # tokens of each text


def fixed_size(number: int) -> int:
    """Return the largest of `SIZES` that is at most the number of texts, or 0 if there are too few to measure."""
    return max((size for size in SIZES if size <= number), default=0)


def by_words(texts: Sequence[str]) -> dict[str, float]:
    """Return the measures that need no vectors, by name: numbers from 0 to 1, rounded to 4 digits."""
    words = [unicode_tokens(text)[:_LONGEST] for text in texts]
    return {
        "distinct_2": round(distinct(words, 2), 4),
        "distinct_3": round(distinct(words, 3), 4),
        "commonest_openings": round(commonest_openings(texts), 4),
        "nearest_rouge_l": round(nearest_rouge_l([" ".join(row) for row in words]), 4),
    }


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Return the number of distinct n-grams divided by the number of all n-grams (li2016diversity). Each text is a list of
    tokens. The result is 0 if no text has n tokens.
    """
    grams = Counter(tuple(text[at : at + n]) for text in texts for at in range(len(text) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def commonest_openings(texts: Sequence[str]) -> float:
    """Return the share of texts that begin with one of the `OPENINGS` most frequent openings."""
    openings = Counter(opening(text) for text in texts)
    return sum(count for _, count in openings.most_common(OPENINGS)) / len(texts) if texts else 0.0


def nearest_rouge_l(texts: Sequence[str]) -> float:
    """Return the mean, over all texts, of the highest ROUGE-L F1 with another text; 0 for fewer than two texts."""
    from self_instruct.novelty.offline import keep_first

    if len(texts) < 2:
        return 0.0
    directions = (texts, texts[::-1])  # keep_first finds only the nearest earlier text
    before, after = (
        [near.score if near else 0.0 for _, near in keep_first(order, _ALL, tokenizer="unicode", nearest_of_kept=True)]
        for order in directions
    )
    return float(np.mean(np.maximum(before, after[::-1])))


def entropy(values: Iterable[Hashable]) -> float:
    """Return the entropy of the frequencies of the values, in bits; 0 if there are no values."""
    counts = Counter(values)
    return -sum(count / counts.total() * math.log2(count / counts.total()) for count in counts.values()) + 0.0


def vendi_score(vectors: np.ndarray) -> float:
    """Return the Vendi score of unit vectors [texts, dimensions] with cosine similarity (friedman2023vendi).

    It is the exponential of the entropy of the eigenvalues of K / n, where K is the matrix of similarities of the n texts: 1 if
    all texts are the same, and n if no two are similar.
    """
    if not len(vectors):
        return 0.0
    rows = vectors.astype(np.float64)
    # X^T X and X X^T have the same non-zero eigenvalues; take the smaller matrix.
    products = rows.T @ rows if rows.shape[1] < len(rows) else rows @ rows.T
    shares = np.linalg.eigvalsh(products / len(rows))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))
