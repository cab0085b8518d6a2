"""Detecting loops in generated tokens, and ending such requests in the local back-ends."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.repetition import EVERY, LEAST, LONGEST_CYCLE, TIMES, repeats
from tests.support.tiny_models import build_tokenizer

TOKENIZER = build_tokenizer()


def first(tokens: list[int]) -> int | None:
    """Return the number of tokens after which the rule ends a request, or None."""
    return next((size for size in range(1, len(tokens) + 1) if repeats(tokens[:size])), None)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 99), max_size=40), st.lists(st.integers(0, 9), min_size=1, max_size=LONGEST_CYCLE),
)  # fmt: skip
def test_a_loop_ends_soon_after_it_is_long_enough(text, cycle):
    found = first(text + cycle * (600 // len(cycle)))
    assert found is not None
    assert found <= len(text) + max(LEAST, TIMES * len(cycle)) + EVERY


@pytest.mark.parametrize(
    "text",
    [
        "ha " * 30,
        "\n".join(f"{number}. item" for number in range(200)),
        ", ".join(map(str, range(400))),
        "| a | b |\n|---|---|\n" + "\n".join(f"| {number} | {number * number} |" for number in range(100)),
        "def f():\n" + "    print('hello')\n" * 8,
        "\n".join(f"assert f({number}) == {number + 1}" for number in range(100)),
        "=" * 120,
    ],
)
def test_text_with_legitimate_repetition_is_not_a_loop(text):
    assert first(TOKENIZER(text)["input_ids"]) is None


def test_a_cycle_longer_than_the_limit_is_not_a_loop():
    assert first(list(range(LONGEST_CYCLE + 1)) * 20) is None


@pytest.fixture(scope="module")
def looping(tiny_llama):
    """Return a model that writes one token forever."""
    model, tokenizer, revision = load_model(str(tiny_llama))
    with torch.no_grad():
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.fill_(1.0)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight[100].fill_(1.0)
    return model, tokenizer, revision


@pytest.mark.parametrize("backend", ["slots", "static", "paged"])
@pytest.mark.parametrize("on", [True, False])
def test_a_looping_request_ends_early_in_every_back_end(looping, backend, on):
    sampling = Sampling(LEAST + 60, temperature=0, stop_repetition=on)
    engine = HuggingFaceEngine(*looping, sampling, 2, backend=backend)
    engine.submit([Request(at, "A task", "", (), str(at)) for at in range(2)])
    done = engine.poll()
    while len(done) < 2:
        done += engine.poll()
    engine._backend.close()
    expected = ("repetition", LEAST) if on else ("length", LEAST + 60)
    assert {(item.finish_reason, item.completion_tokens) for item in done} == {expected}
