"""Splitting conversations at a token limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.datasets.conversation_cleaning import NumberedTurn
from self_instruct.datasets.splitting import PER_TURN, estimated_tokens, split, tokens_of


def conversation(*lengths):
    """Return turns of these lengths in characters."""
    roles = ["user", "assistant"] * len(lengths)
    return [NumberedTurn(at, {"role": roles[at - 1], "content": "x" * n}) for at, n in enumerate(lengths, start=1)]


def numbers(parts):
    return [[one.number for one in part] for part in parts]


@pytest.mark.parametrize(("lengths", "limit", "parts", "too_long"), [
    # Three pairs of 22 tokens at a limit of 50, and two of 32. FastChat loses the last pair of both.
    ((5, 5, 5, 5, 5, 5), 50, [[1, 2, 3, 4], [5, 6]], []),
    ((10, 10, 10, 10), 50, [[1, 2], [3, 4]], []),
    # A pair over the limit, at each position. FastChat writes it although it is too long, or writes an empty sample before it.
    ((50, 1, 1, 1), 50, [[3, 4]], [63]),
    ((1, 1, 50, 1, 1, 1), 50, [[1, 2], [5, 6]], [63]),
    ((1, 1, 50, 1), 50, [[1, 2]], [63]),
    ((50, 50), 50, [], [112]),
    ((19, 19), 50, [[1, 2]], []),
    ((), 50, [], []),
])  # fmt: skip
def test_conversation_is_split_at_the_limit(lengths, limit, parts, too_long):
    found, lost = split(conversation(*lengths), limit, len)
    assert (numbers(found), [tokens for _, tokens in lost]) == (parts, too_long)


def test_system_prompt_counts_in_every_part():
    turns = conversation(10, 10, 10, 10)
    assert numbers(split(turns, 64, len)[0]) == [[1, 2, 3, 4]]
    assert numbers(split(turns, 64, len, system="s")[0]) == [[1, 2], [3, 4]]
    parts, lost = split(turns, 20, len, system="s" * 30)
    assert parts == [] and [tokens for _, tokens in lost] == [68, 68]


@given(st.lists(st.integers(0, 40), max_size=16), st.integers(1, 120), st.text("s", max_size=30))
def test_no_pair_is_lost_and_no_part_is_too_long_or_empty(lengths, limit, system):
    turns = conversation(*lengths[: len(lengths) // 2 * 2])
    parts, lost = split(turns, limit, len, system)
    around = len(system) + PER_TURN if system else 0
    assert sorted(one.number for some in [*parts, *(pair for pair, _ in lost)] for one in some) == [
        one.number for one in turns
    ]
    assert all(part and len(part) % 2 == 0 and around + tokens_of(part, len) <= limit for part in parts)
    assert all(tokens == around + tokens_of(pair, len) > limit for pair, tokens in lost)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 2), ("日本", 2), ("\ud800", 1)])
def test_tokens_are_estimated_from_bytes(text, tokens):
    assert estimated_tokens(text) == tokens
