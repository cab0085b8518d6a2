"""Measures of diversity: values worked out by hand, bounds for any texts, and agreement with direct computations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from self_instruct.novelty import diversity

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
    scorer = RougeScorer(["rougeL"])
    expected = [
        max(scorer.score(one, other)["rougeL"].fmeasure for at, other in enumerate(rows) if at != place)
        for place, one in enumerate(rows)
    ]
    assert diversity.nearest_rouge_l(rows) == pytest.approx(np.mean(expected))
    assert all(0 <= value <= 1 for value in diversity.by_words([" ".join(text) for text in texts]).values())


def test_repeated_openings_show_in_the_numbers():
    collapsed = [f"Write a function that returns item {at}." for at in range(60)]
    varied = [f"{'abcdefghij'[at % 10]} {'klmnopqrst'[at % 10]} {at}" for at in range(60)]
    low, high = diversity.by_words(collapsed), diversity.by_words(varied)
    assert low["commonest_openings"] == 1.0 and high["commonest_openings"] == 0.5
    assert low["nearest_rouge_l"] > high["nearest_rouge_l"] and low["distinct_2"] < high["distinct_2"]
