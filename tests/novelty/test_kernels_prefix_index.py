"""The prefix index compared with ROUGE-L of every pair, for both kinds of lists."""

import random

import numpy as np
import pytest

from self_instruct.novelty.kernels import prefix_index
from self_instruct.novelty.kernels.chunks import LONG
from self_instruct.novelty.kernels.prefix_index import PrefixIndex
from self_instruct.novelty.kernels.sequences import SequenceIndex
from tests.support.reference_rouge import rouge_scorer

EVERY_LIST = pytest.mark.parametrize("split", [1, 10**9], ids=["one list for each length", "one list"])
LIMITS = (0.05, 0.4, 0.5, 0.7, 0.9, 0.999)


def texts_of(words: int, number: int, longest: int, seed: int = 0) -> list[list[str]]:
    """Make texts of frequent and rare words, with repetitions, near-copies and copies."""
    rng = random.Random(seed)
    vocabulary, weights = [f"w{at}" for at in range(words)], [1 / (1 + at) for at in range(words)]
    texts = [list[str]()]
    while len(texts) < number:
        text = rng.choices(vocabulary, weights, k=rng.randint(1, longest))
        if rng.random() < 0.4:
            text = list(rng.choice(texts))
            for at in rng.sample(range(len(text)), len(text) // 5):
                text[at] = rng.choice(vocabulary)
        texts.append(text)
    return texts


def indexed(texts: list[list[str]], limit: float, monkeypatch: pytest.MonkeyPatch, split: int) -> PrefixIndex:
    monkeypatch.setattr(prefix_index, "_FEW", np.inf)
    monkeypatch.setattr(prefix_index, "_SPLIT", split)
    return PrefixIndex(SequenceIndex(str.split).tokens([" ".join(text) for text in texts]), limit)


@EVERY_LIST
@pytest.mark.parametrize("limit", LIMITS)
def test_nearest_texts_are_those_of_a_loop_over_the_reference(
    limit: float, split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, scorer = texts_of(60, 80, 25), rouge_scorer()
    index = indexed(texts, limit, monkeypatch, split)
    added = np.array([at for at in range(50) if at % 3])
    assert index.add(0, 50, added).sum() == sum(bool(texts[at]) for at in added)
    scores, found = index.nearest(0, len(texts), threads=2)
    for query, text in enumerate(texts):
        exact = [(scorer._score_lcs(texts[at], text).fmeasure, -at) for at in added.tolist()]
        best, place = max(exact)
        wanted = (best, -place) if best > limit else (limit, -1)
        assert (scores[query], found[query]) == wanted
    assert 0 < (found >= 0).sum() < len(texts)


@EVERY_LIST
def test_texts_of_all_lengths_are_found_or_left_to_the_other_index(
    split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [[f"w{at}" for at in range(length)] for length in (1, 2, LONG - 1, LONG, LONG + 1, 500)]
    index = indexed(texts, 0.7, monkeypatch, split)
    added = index.add(0, len(texts), np.arange(len(texts)))
    assert added.tolist() == [True] * 4 + [False] * 2
    scores, found = index.nearest(0, len(texts))
    assert found.tolist() == [0, 1, 2, 3, 3, -1]
    assert scores.tolist() == [1.0, 1.0, 1.0, 1.0, rouge_scorer()._score_lcs(texts[3], texts[4]).fmeasure, 0.7]


def test_texts_that_share_their_rarest_words_are_left_to_the_other_index() -> None:
    rng = random.Random(1)
    common = [" ".join(rng.choices(["a", "b", "c", "d"], k=12)) for _ in range(300)]
    rare = [" ".join(f"w{rng.randrange(5000)}" for _ in range(20)) for _ in range(300)]
    index = PrefixIndex(SequenceIndex(str.split).tokens(common + rare), 0.7)
    assert not index.listed[12] and index.listed[20]
    assert index.add(0, 600, np.arange(600)).tolist() == [False] * 300 + [True] * 300


def test_no_texts_can_be_searched() -> None:
    index = PrefixIndex(SequenceIndex(str.split).tokens([]), 0.7)
    scores, found = index.nearest(0, 0)
    assert not len(scores) and not len(found)
