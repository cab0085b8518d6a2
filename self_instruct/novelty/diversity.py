"""Measure how diverse a set of instructions is.

Every measure depends on the number of texts. Therefore only the first N are measured, where N is one of `SIZES`, and sets are
compared at the same N.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from self_instruct.novelty.tokens import opening, unicode_tokens
from self_instruct.novelty.verb_noun import verb_noun

SIZES = (50, 100, 200, 500, 1000, 2000, 5000)
OPENINGS = 5  # pairs of first words
_ALL = 1.01  # a threshold above every score, so that all texts are kept and each is compared with all earlier ones
_LONGEST = 400  # tokens of each text
DENSITY_NEIGHBOURS, COVERAGE_NEIGHBOURS = 10, 5
_BLOCK = 512  # vectors that are compared with all others at once
_LEAST, _ROUNDING = 1e-6, 1e-6  # the least mean distance; the rounding error of a cosine


def fixed_size(number: int) -> int:
    """Return the largest of `SIZES` that is at most the number of texts, or 0 if there are too few to measure."""
    return max((size for size in SIZES if size <= number), default=0)


def by_words(texts: Sequence[str]) -> dict[str, float]:
    """Return the measures that need no vectors, by name, rounded to 4 digits: numbers from 0 to 1, and an entropy in bits."""
    words = [unicode_tokens(text)[:_LONGEST] for text in texts]
    return {
        "distinct_2": round(distinct(words, 2), 4),
        "distinct_3": round(distinct(words, 3), 4),
        "commonest_openings": round(commonest_openings(texts), 4),
        "nearest_rouge_l": round(nearest_rouge_l([" ".join(row) for row in words]), 4),
        "verb_object_entropy": round(entropy(pair for pair in map(verb_noun, texts) if pair.noun), 4),
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


def novel_sum(vectors: np.ndarray, reference: np.ndarray | None = None) -> float:
    """Return NovelSum of unit vectors [texts, dimensions] (yang2025measuring), for d = 1 - cosine: the mean over all texts i of

        v(i) = sum over j of w(i, j) s(j) d(i, j) / sum over j of w(i, j)

    where j are the other texts, w(i, j) = 1 / (rank of j by its distance from i, 1 for the nearest), and s(j) = 1 /
    sqrt(mean distance of j from the `DENSITY_NEIGHBOURS` nearest vectors of `reference`). Near texts count most, and in a dense
    region of the reference a distance counts more. Without a reference s is 1, which the authors recommend over taking the set
    itself. As in their code, the weights are divided by their sum, so that the result does not grow with the number of texts.
    """
    if len(vectors) < 2:
        return 0.0
    rows, density = vectors.astype(np.float64), np.ones(len(vectors))
    if reference is not None and len(reference):
        density = 1 / np.sqrt(_mean_distances(rows, reference.astype(np.float64)))
    weights = 1 / np.arange(1, len(rows))
    total = 0.0
    for begin in range(0, len(rows), _BLOCK):
        distances = np.maximum(0.0, 1 - rows[begin : begin + _BLOCK] @ rows.T)
        own = np.arange(len(distances))
        distances[own, begin + own] = np.inf
        order = np.argsort(distances, axis=1, kind="stable")[:, :-1]  # without the text itself
        novelty = np.take_along_axis(distances, order, axis=1) * density[order]
        total += float((novelty @ weights).sum() / weights.sum())
    return total / len(rows)


def _mean_distances(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean distance of each row from its nearest reference vectors, at least `_LEAST`."""
    number = min(DENSITY_NEIGHBOURS, len(reference))
    parts = [
        np.sort(np.partition(1 - rows[begin : begin + _BLOCK] @ reference.T, number - 1, axis=1)[:, :number], axis=1)
        for begin in range(0, len(rows), _BLOCK)
    ]
    return np.maximum(np.concatenate(parts).mean(axis=1), _LEAST)


def coverage(vectors: np.ndarray, reference: np.ndarray) -> float | None:
    """Return the share of reference vectors [texts, dimensions] that have one of `vectors` at least as near as their
    `COVERAGE_NEIGHBOURS`-th nearest other reference vector (naeem2020reliable); None if there are too few reference vectors.
    """
    if len(reference) <= COVERAGE_NEIGHBOURS:
        return None
    rows, others = vectors.astype(np.float64), reference.astype(np.float64)
    covered = 0
    for begin in range(0, len(others), _BLOCK):
        block = others[begin : begin + _BLOCK]
        among = block @ others.T
        own = np.arange(len(block))
        among[own, begin + own] = -np.inf
        radius = np.partition(among, len(others) - COVERAGE_NEIGHBOURS, axis=1)[:, len(others) - COVERAGE_NEIGHBOURS]
        covered += int(((block @ rows.T).max(axis=1) >= radius - _ROUNDING).sum()) if len(rows) else 0
    return covered / len(others)
