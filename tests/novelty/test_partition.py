"""Near pairs found in parts give the decisions of one process."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty import offline, partition
from self_instruct.novelty.rules import RULES, highest_allowed
from self_instruct.novelty.tokens import rouge_tokens
from tests.novelty.test_offline import mixed


def in_parts(texts: list[str], threshold: float, rule: str, parts: int, sample: int) -> list[offline.Decision]:
    """Return the decisions, as `offline.keep_first` does."""
    limit, words = highest_allowed(threshold, rule), [rouge_tokens(text) for text in texts]
    frequent = Counter(word for row in words[:sample] for word in row)
    shares = [[] for _ in range(parts)]
    for at, row in enumerate(words):
        chosen = partition.prefix(row, limit, frequent)
        for part in range(parts):
            own = [item for item in enumerate(chosen) if partition.part_of(row[item[1]], parts) == part]
            if own:
                shares[part].append((at, own, row))
    drops = partition.keep_first(partition.near_pairs(share, limit) for share in shares)
    return [offline.Decision("rouge_l" if at in drops else None, drops.get(at)) for at in range(len(texts))]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.7, 0.9, 0.999])
def test_decisions_are_those_of_one_process(threshold: float, rule: str) -> None:
    texts = mixed(400, seed=7)
    wanted = offline.keep_first(texts, threshold, rule)
    assert in_parts(texts, threshold, rule, 5, 20) == wanted
    assert 0 < sum(decision.kept for decision in wanted) < len(texts)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("threshold", [1.0, 1.01])
def test_thresholds_from_one_drop_only_copies_or_nothing(threshold: float, rule: str) -> None:
    texts = mixed(200, seed=8)
    assert in_parts(texts, threshold, rule, 3, 20) == offline.keep_first(texts, threshold, rule)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join), max_size=30),
    st.sampled_from([0.3, 0.5, 0.6, 0.7, 0.8]),
    st.sampled_from(RULES),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_any_texts_parts_and_samples_give_the_same_decisions(texts, threshold, rule, parts, sample) -> None:
    assert in_parts(texts, threshold, rule, parts, sample) == offline.keep_first(texts, threshold, rule)
