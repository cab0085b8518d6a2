"""Novelty of a whole file compared with plain loops over rouge_score."""

import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty import offline
from self_instruct.novelty.kernels import prefix_index
from self_instruct.novelty.offline import Decision, Match, keep_first
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.rules import RULES
from self_instruct.novelty.tokens import TOKENIZERS
from tests.support.reference_rouge import rouge_scorer

WORDS = "the list add two numbers write a function in python return sum of 3 x1".split()
ODD = ["", " ", "...", "好 的", "é", "a\ud800b", "x" * 300, "\x00", "a", "A!", "b a", "0"]
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def mixed(number: int, seed: int = 0) -> list[str]:
    """Make short and long texts of few words, unusual texts, near-copies and duplicates."""
    rng = random.Random(seed)
    texts = list(ODD)
    while len(texts) < number:
        text = rng.choices(WORDS, k=rng.choice([1, 2, 5, 10, 10, 15, 70]))
        if rng.random() < 0.5:
            text = rng.choice(texts).split() or ["a"]
            text[rng.randrange(len(text))] = rng.choice(WORDS)
        texts.append(" ".join(text))
    rng.shuffle(texts)
    return texts


@cache
def reference(earlier: tuple[str, ...], later: tuple[str, ...]) -> float:
    return rouge_scorer()._score_lcs(earlier, later).fmeasure


def brute(
    texts: Sequence[str], threshold: float, rule: str, tokenizer: str = "rouge", of_kept: bool = False
) -> list[Decision]:
    tokens = [TOKENIZERS[tokenizer](text) for text in texts]
    kept: list[int] = []
    decisions = []
    for at in range(len(texts)):
        scores = [(reference(tuple(tokens[other]), tuple(tokens[at])), -other) for other in kept]
        score, place = max(scores, default=(0.0, 0))
        drops = score > threshold or (rule == "below" and score == threshold)
        decisions.append(
            Decision("rouge_l" if drops else None, Match(-place, score) if drops or (of_kept and score) else None)
        )
        if not drops:
            kept.append(at)
    return decisions


@pytest.mark.parametrize("few", [0, 0.5, float("inf")], ids=["scanned", "both", "listed"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_decisions_are_those_of_a_loop_over_the_reference(
    threshold: float, rule: str, few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_index, "_FEW", few)
    monkeypatch.setattr(offline, "_BLOCK", 50)
    texts = mixed(220)
    wanted = brute(texts, threshold, rule)
    assert keep_first(texts, threshold, rule) == wanted
    assert 0 < sum(decision.kept for decision in wanted) < len(texts)


def test_kept_texts_have_their_nearest_on_request() -> None:
    texts = mixed(200, seed=3)
    assert keep_first(texts, 0.7, nearest_of_kept=True) == brute(texts, 0.7, "below", of_kept=True)


def test_the_two_rules_differ_at_an_exact_tie_only() -> None:
    texts = ["a b", "a c", "a b c d", "a b c e"]  # F1 0.5 and 0.75, exactly
    for threshold, later in ((0.5, 1), (0.75, 3)):
        below, not_above = (keep_first([texts[later - 1], texts[later]], threshold, rule) for rule in RULES)
        assert below[1] == Decision("rouge_l", Match(0, threshold)) and not_above[1] == Decision(None, None)


@pytest.mark.parametrize("rule", RULES)
def test_thresholds_near_one_drop_only_repetitions_or_nothing(rule: str) -> None:
    texts = ["a b", "A, b", "b a", "", ""]
    first = [decision.kept for decision in keep_first(texts, 1.0, rule)]
    assert first == [True, rule == "not_above", True, True, True]
    assert keep_first(texts, 1.01, rule) == [Decision(None, None)] * 5


def test_decisions_do_not_depend_on_block_size_or_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = mixed(900, seed=1)
    wanted = keep_first(texts, 0.7, threads=1)
    assert keep_first(texts, 0.7, threads=3) == wanted
    for size in (1, 7, 400):
        monkeypatch.setattr(offline, "_BLOCK", size)
        assert keep_first(texts, 0.7, threads=2) == wanted


def test_decisions_equal_those_of_one_query_at_a_time() -> None:
    texts = mixed(400, seed=2)
    index = RougeIndex()
    for at, (text, decision) in enumerate(zip(texts, keep_first(texts, 0.6, nearest_of_kept=True), strict=True)):
        found = index.nearest(text)
        assert decision.kept == (found is None or found.score < 0.6)
        if decision.nearest:
            assert found is not None and (int(found.id), found.score) == decision.nearest
        if decision.kept:
            index.add([str(at)], [text])


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_unicode_tokenizer_compares_words_of_other_scripts(tokenizer: str) -> None:
    texts = [
        "用 3 个词写一首诗",
        "把 3 个数加起来",
        "用 3 个词写一首诗!",
        "Напиши функцию сортировки",
        "Напиши функцию сложения",
    ]
    decisions = keep_first(texts, 0.7, tokenizer=tokenizer)
    assert decisions == brute(texts, 0.7, "below", tokenizer)
    assert [decision.kept for decision in decisions] == {
        "rouge": [True, False, False, True, True],
        "unicode": [True, True, False, True, True],
    }[tokenizer]


def test_long_texts_are_compared_with_short_ones() -> None:
    rng = random.Random(4)
    texts = [" ".join(rng.choices(WORDS, k=length)) for length in (5000, 300, 64, 65, 1)]
    texts += [" ".join(text.split()[1:]) for text in texts]
    decisions = keep_first(texts, 0.9)
    assert [decision.kept for decision in decisions] == [True] * 5 + [False] * 4 + [True]
    assert [d.nearest.position for d in decisions[5:9] if d.nearest] == [0, 1, 2, 3]


def test_no_texts_give_no_decisions() -> None:
    assert keep_first([]) == []


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="rule 'under' is unknown; use one of below, not_above"):
        keep_first(["a"], rule="under")
    with pytest.raises(KeyError, match="stemmed"):
        keep_first(["a"], tokenizer="stemmed")


TEXT = st.lists(st.sampled_from(WORDS[:4]) | st.sampled_from(ODD), max_size=9).map(" ".join)


@given(st.lists(TEXT, max_size=14), st.sampled_from([*THRESHOLDS, 0.001, 2 / 3, 1.0]), st.sampled_from(RULES))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_any_texts_are_decided_as_by_the_reference(texts: list[str], threshold: float, rule: str) -> None:
    wanted = brute(texts, threshold, rule)
    assert keep_first(texts, threshold, rule) == wanted
