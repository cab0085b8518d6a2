"""Finding stop texts token by token."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.local.stopping import StopMatcher
from tests.support.tiny_models import build_tokenizer

TOKENIZER = build_tokenizer()
MATCHER = StopMatcher(TOKENIZER)
PIECES = st.lists(st.sampled_from(["\n", "20", ".", " ", "Task", ":", "é", "日本", "2", "0", "a"]), max_size=30)


def first_reached(text: str, stop: tuple[str, ...]) -> int | None:
    tokens = TOKENIZER(text)["input_ids"]
    return next((n for n in range(1, len(tokens) + 1) if MATCHER.reached(tokens[:n], stop)), None)


@settings(max_examples=100, deadline=None)
@given(PIECES.map("".join), st.sampled_from([("\n20.",), ("20. Task:", "é"), ("日本",), ("a",)]))
def test_generation_stops_at_the_token_that_completes_a_stop_text(text, stop):
    tokens = TOKENIZER(text)["input_ids"]
    texts = [TOKENIZER.decode(tokens[:n]) for n in range(len(tokens) + 1)]
    expected = next((n for n, seen in enumerate(texts) if any(word in seen for word in stop)), None)
    assert first_reached(text, stop) == expected


@pytest.mark.parametrize("stop", [(), ("\0",)])
def test_text_without_a_stop_text_does_not_stop(stop):
    assert first_reached("1. Instruction:\nAdd two numbers.\n" * 5, stop) is None
