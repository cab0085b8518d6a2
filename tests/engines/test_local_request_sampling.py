"""Requests with different sampling options in one batch."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.sampling import draw, draw_rows, penalise
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, HEADER, PROMPTS, SAMPLED, TOKENS, complete, engine_of, request

SAMPLINGS = [
    None, Sampling(20, 0.0), Sampling(9, 1.3, 1.0, 7), Sampling(14, 0.7, 0.8, repetition_penalty=1.6),
    Sampling(18, 1.0, 1.0, min_p=0.2), Sampling(12, 0.0, repetition_penalty=1.3),
]  # fmt: skip
REQUESTS = [request(i, HEADER * (i % 2) + PROMPTS[i % 5], (), SAMPLINGS[i % 6]) for i in range(18)]


def texts(found: dict) -> dict:
    return {index: (item.text, item.completion_tokens, item.finish_reason) for index, item in found.items()}


@pytest.fixture(scope="module")
def alone(tiny_llama) -> dict:
    """Return the completion of each request from an engine that has only this request and its sampling options."""
    found = {}
    for item in REQUESTS:
        engine = engine_of(tiny_llama, item.sampling or SAMPLED, batch_size=1)
        found.update(texts(complete(engine, [replace(item, sampling=None)])))
    return found


@pytest.mark.parametrize(("backend", "lag"), [("slots", 0), ("slots", 1), ("static", None)])
def test_rows_with_different_sampling_draw_the_same_tokens_as_alone(tiny_llama, alone, backend, lag):
    engine = engine_of(tiny_llama, SAMPLED, backend=backend, batch_size=7)
    if lag is not None:
        engine._backend._lag = lag
    assert texts(complete(engine, REQUESTS)) == alone
    lengths = {tokens for _, tokens, reason in alone.values() if reason == "length"}
    assert {9, 14} <= lengths <= {9, 12, 14, TOKENS, 18, 20}


def test_a_penalised_row_that_joins_late_does_not_change_the_other_rows(tiny_llama, alone):
    engine = engine_of(tiny_llama, SAMPLED, backend="slots", batch_size=3)
    plain, penalised = REQUESTS[::6], [item for item in REQUESTS if item.index % 6 in (3, 5)]
    found = texts(complete(engine, [*plain, *penalised]))
    assert found == {index: alone[index] for index in found} and len(found) == 9


def test_paged_refuses_a_request_with_its_own_sampling(tiny_llama):
    engine = engine_of(tiny_llama, GREEDY, backend="paged", batch_size=2)
    own_length = complete(engine, [request(0, "Add", (), replace(GREEDY, max_new_tokens=3)), request(1, "Add")])
    assert [own_length[i].completion_tokens for i in range(2)] == [3, TOKENS]
    engine.submit([request(2, "Add", (), SAMPLED)])
    with pytest.raises(UserError, match=r"request 2 has its own sampling, but --engine_backend paged .* slots"):
        engine.poll()
    engine.close()


def test_a_prompt_must_leave_room_for_the_tokens_of_its_own_request(tiny_llama):
    engine = engine_of(tiny_llama)
    found = complete(engine, [request(0, "Add", (), replace(GREEDY, max_new_tokens=10**6)), request(1, "Add")])
    assert found[0].finish_reason == "error" and "use at most --max_new_tokens 1023" in found[0].error
    assert found[1].finish_reason != "error"


@given(
    st.builds(
        Sampling, st.integers(1, 9999), st.floats(0, 2), st.floats(0.01, 1), st.integers(0, 99), st.floats(0.5, 2),
        st.floats(0, 1),
    ) | st.none(),
    st.lists(st.text(), max_size=3),
)  # fmt: skip
def test_a_request_survives_a_round_trip_through_json(sampling, stop):
    item = Request(3, "a prompt", "1.", tuple(stop), "42:3", sampling)
    assert Request.of(json.loads(json.dumps(asdict(item)))) == item


@settings(max_examples=15)
@given(
    st.lists(st.sampled_from([Sampling(1) if item is None else item for item in SAMPLINGS]), min_size=1, max_size=9)
)
def test_rows_are_sampled_independently_of_their_neighbours(samplings):
    generator = torch.Generator().manual_seed(len(samplings))
    logits, uniform = (torch.randn(len(samplings), 300, generator=generator) * 2, torch.rand(len(samplings)))
    seen = torch.rand(len(samplings), 300, generator=generator) < 0.1
    drawn = draw_rows(logits, samplings, uniform, seen)
    for at, sampling in enumerate(samplings):
        row = penalise(logits[at : at + 1], seen[at : at + 1], sampling.repetition_penalty)
        assert drawn[at] == draw(row, sampling, uniform[at : at + 1])[0]
