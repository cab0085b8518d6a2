"""How diverse a set of instructions is, as numbers.

Each measure changes with the number of texts, so it is taken of the first N, where N is a round number: sets are compared
at the same N.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from self_instruct.novelty.tokens import unicode_tokens

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
OPENINGS = 5
_ALL = 1.01  # a threshold above every score: all texts are kept, so each is compared with all earlier ones
_LONGEST = 400  # tokens of a text that are compared


def fixed_size(number: int) -> int:
    """Return the largest of `SIZES` that is at most the number of texts, or 0 if there are too few to measure."""
    return max((size for size in SIZES if size <= number), default=0)


def by_words(texts: Sequence[str]) -> dict[str, float]:
    """Return the measures of texts that need no vectors, by name, rounded to 4 digits; all are shares from 0 to 1."""
    words = [unicode_tokens(text)[:_LONGEST] for text in texts]
    return {
        "distinct_2": round(distinct(words, 2), 4),
        "distinct_3": round(distinct(words, 3), 4),
        "commonest_openings": round(commonest_openings(words), 4),
        "nearest_rouge_l": round(nearest_rouge_l([" ".join(row) for row in words]), 4),
    }


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Return the number of different n-grams divided by the number of all n-grams of texts, which are tokens (li2016diversity);
    0 if no text has n tokens.
    """
    grams = Counter(tuple(text[at : at + n]) for text in texts for at in range(len(text) - n + 1))
    return len(grams) / grams.total() if grams else 0.0


def commonest_openings(texts: Sequence[Sequence[str]]) -> float:
    """Return the share of texts that begin with one of the `OPENINGS` most frequent pairs of first words."""
    openings = Counter(tuple(text[:2]) for text in texts)
    return sum(count for _, count in openings.most_common(OPENINGS)) / len(texts) if texts else 0.0


def nearest_rouge_l(texts: Sequence[str]) -> float:
    """Return the mean, over all texts, of the highest ROUGE-L F1 with another text; 0 for fewer than two."""
    from self_instruct.novelty.offline import keep_first

    if len(texts) < 2:
        return 0.0
    ways = (texts, texts[::-1])  # the nearest text before each, and after each
    before, after = (
        [near.score if near else 0.0 for _, near in keep_first(way, _ALL, tokenizer="unicode", nearest_of_kept=True)]
        for way in ways
    )
    return float(np.mean(np.maximum(before, after[::-1])))


def entropy(values: Iterable[Hashable]) -> float:
    """Return the entropy of the frequencies of values in bits; 0 for none."""
    counts = Counter(values)
    return -sum(count / counts.total() * math.log2(count / counts.total()) for count in counts.values()) + 0.0


def vendi_score(vectors: np.ndarray) -> float:
    """Return the Vendi score of unit vectors [texts, dimensions] with cosine similarity (friedman2023vendi): the exponential of
    the entropy of the eigenvalues of the similarities divided by the number of texts; from 1, all the same, to their number.
    """
    if not len(vectors):
        return 0.0
    rows = vectors.astype(np.float64)
    # The products of the dimensions have the same eigenvalues, apart from zeros, as those of the texts.
    products = rows.T @ rows if rows.shape[1] < len(rows) else rows @ rows.T
    shares = np.linalg.eigvalsh(products / len(rows))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))
