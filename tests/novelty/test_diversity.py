"""Measures of diversity: values worked out by hand, bounds for any texts, and agreement with direct computations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.novelty import diversity
from tests.support.reference_rouge import rouge_scorer

WORDS = st.lists(st.sampled_from(["sort", "the", "list", "of", "names", "Ärger"]), max_size=8)


@pytest.mark.parametrize(("number", "size"), [(0, 0), (49, 0), (50, 50), (499, 200), (10**6, 5000)])
def test_sets_are_measured_at_a_round_size(number, size):
    assert diversity.fixed_size(number) == size


def test_values_worked_out_by_hand():
    texts = [["sort", "the", "list"], ["sort", "the", "names"], ["sort", "the", "list"], ["count"]]
    assert diversity.distinct(texts, 2) == 3 / 6 and diversity.distinct(texts, 3) == 2 / 3
    assert diversity.distinct([["a"]], 2) == 0.0
    assert diversity.commonest_openings([" ".join(text) for text in texts]) == 1.0
    assert diversity.commonest_openings([str(at) for at in range(20)]) == 5 / 20
    assert diversity.entropy("aabb") == 1.0 and diversity.entropy("aaaa") == 0.0 and diversity.entropy("") == 0.0
    assert diversity.entropy(range(8)) == 3.0


def test_vendi_score_is_the_number_of_different_vectors_of_equal_frequency():
    one = np.eye(6, dtype=np.float32)
    assert diversity.vendi_score(one) == pytest.approx(6)
    assert diversity.vendi_score(np.repeat(one[:2], 50, axis=0)) == pytest.approx(2)
    assert diversity.vendi_score(one[:1]) == pytest.approx(1) and diversity.vendi_score(one[:0]) == 0.0
    # Of two vectors with cosine c, the eigenvalues are (1 + c) / 2 and (1 - c) / 2.
    pair = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert diversity.vendi_score(pair) == pytest.approx(
        math.exp(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2))), rel=1e-6
    )


@given(st.lists(WORDS, min_size=2, max_size=12))
def test_nearest_rouge_l_agrees_with_the_reference_and_measures_are_shares(texts):
    rows = [" ".join(word for word in text if word.isascii()) for text in texts]
    scorer = rouge_scorer().RougeScorer(["rougeL"])
    expected = [
        max(scorer.score(one, other)["rougeL"].fmeasure for at, other in enumerate(rows) if at != place)
        for place, one in enumerate(rows)
    ]
    assert diversity.nearest_rouge_l(rows) == pytest.approx(np.mean(expected))
    found = diversity.by_words([" ".join(text) for text in texts])
    assert all(0 <= value <= 1 for name, value in found.items() if name != "verb_object_entropy")


def test_repeated_openings_show_in_the_numbers():
    collapsed = [f"Write a function that returns item {at}." for at in range(60)]
    varied = [f"{'abcdefghij'[at % 10]} {'klmnopqrst'[at % 10]} {at}" for at in range(60)]
    low, high = diversity.by_words(collapsed), diversity.by_words(varied)
    assert low["commonest_openings"] == 1.0 and high["commonest_openings"] == 0.5
    assert low["nearest_rouge_l"] > high["nearest_rouge_l"] and low["distinct_2"] < high["distinct_2"]


def test_verb_object_entropy_counts_pairs_and_leaves_out_texts_without_one():
    texts = ["Write a poem.", "Write a poem about bees.", "Draw a map.", "Draw a map.", "Hm.", "Write it."]
    assert diversity.by_words(texts)["verb_object_entropy"] == 1.0
    assert (
        diversity.by_words(texts[:2])["verb_object_entropy"] == diversity.by_words(["Hm."])["verb_object_entropy"] == 0
    )


def unit(number: int, seed: int, dimensions: int = 6) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(number, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def naive_novel_sum(vectors: np.ndarray, reference: np.ndarray | None) -> float:
    """Add up NovelSum by its definition, one pair at a time."""
    rows, total = vectors.astype(float).tolist(), 0.0

    def distance(one: list[float], other: list[float]) -> float:
        return 1 - sum(a * b for a, b in zip(one, other, strict=True))

    def density(row: list[float]) -> float:
        if reference is None:
            return 1.0
        nearest = sorted(distance(row, other) for other in reference.astype(float).tolist())[:10]
        return (sum(nearest) / len(nearest)) ** -0.5

    for at, row in enumerate(rows):
        others = sorted((distance(row, other), place) for place, other in enumerate(rows) if place != at)
        weights = [1 / rank for rank in range(1, len(rows))]
        novelty = [weight * density(rows[place]) * far for weight, (far, place) in zip(weights, others, strict=True)]
        total += sum(novelty) / sum(weights)
    return total / len(rows)


def naive_coverage(vectors: np.ndarray, reference: np.ndarray, k: int = 5) -> float:
    """Count the reference vectors with a vector in their ball, by Euclidean distances."""
    covered = 0
    for at, one in enumerate(reference):
        radius = sorted(float(np.linalg.norm(one - other)) for place, other in enumerate(reference) if place != at)[
            k - 1
        ]
        covered += any(float(np.linalg.norm(one - other)) <= radius for other in vectors)
    return covered / len(reference)


@pytest.mark.parametrize("block", [7, 512])
def test_novel_sum_and_coverage_are_those_of_their_definitions(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "_BLOCK", block)
    vectors, reference = unit(30, 0), unit(24, 1)
    for density in (None, reference, reference[:4]):
        expected = naive_novel_sum(vectors, density)
        assert diversity.novel_sum(vectors, density) == pytest.approx(expected, rel=1e-9)
    for number in (1, 5, 30):
        found = diversity.coverage(vectors[:number], reference)
        assert found == naive_coverage(vectors[:number], reference)
    assert 0 < diversity.coverage(vectors[:5], reference) < 1
    assert diversity.coverage(reference, reference) == 1.0 and diversity.coverage(vectors, reference[:5]) is None


def test_novel_sum_falls_when_texts_repeat() -> None:
    vectors, reference = unit(40, 2, 24), unit(60, 3, 24)
    repeated = np.repeat(vectors[:8], 5, axis=0)
    for density in (None, reference):
        assert diversity.novel_sum(repeated, density) < 0.8 * diversity.novel_sum(vectors, density)
    assert diversity.novel_sum(np.repeat(vectors[:1], 9, axis=0)) == pytest.approx(0, abs=1e-6)
    assert diversity.novel_sum(vectors[:1]) == 0.0 and diversity.novel_sum(np.eye(5, dtype=np.float32)) == 1.0
    # Texts that are also in the reference several times have no infinite density.
    assert np.isfinite(diversity.novel_sum(vectors, np.repeat(vectors[:1], 20, axis=0)))
