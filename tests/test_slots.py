"""Continuous batching at its edges: pytest tests/test_slots.py"""

import pytest
import torch

from self_instruct.engines.huggingface import HuggingFaceEngine
from self_instruct.engines.loading import load_model
from self_instruct.engines.slots import SlotBackend
from self_instruct.engines.static import StaticBackend
from self_instruct.errors import UserError
from tests.engine_runs import HEADER, PROMPTS, SAMPLED, complete, engine_of, request


def test_memory_that_runs_out_while_rows_leave_or_after_numbers_were_drawn_changes_no_text(tiny_llama, monkeypatch):
    requests = [request(i, PROMPTS[i % 5]) for i in range(12)]
    expected = complete(engine_of(tiny_llama, SAMPLED), requests)
    for name in ("_evict", "_draw", "_merge"):
        engine, calls = engine_of(tiny_llama, SAMPLED, batch_size=6), []
        real = getattr(engine._backend, name)

        def failing(*arguments, real=real, calls=calls, engine=engine):
            calls.append(1)
            if len(calls) == 2:
                for row in engine._backend._rows:
                    row.generator.random()
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return real(*arguments)

        monkeypatch.setattr(engine._backend, name, failing)
        found = complete(engine, requests)
        assert len(calls) > 2 and {i: item.text for i, item in found.items()} == {
            i: t.text for i, t in expected.items()
        }


def test_other_errors_than_a_lack_of_memory_are_not_swallowed(tiny_llama, monkeypatch):
    engine = engine_of(tiny_llama)
    monkeypatch.setattr(engine._backend, "_read", lambda rows: torch.zeros(2) @ torch.zeros(3))
    engine.submit([request(0, "Add")])
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        engine.poll()


def test_a_prompt_that_is_no_longer_than_the_shared_beginning_is_read(tiny_llama):
    long, short = HEADER + PROMPTS[1], HEADER
    engine = engine_of(tiny_llama, batch_size=2, backend="slots")
    found = complete(engine, [request(0, long + "x"), request(1, long + "y")])
    engine._interrupted = False
    engine.submit([request(2, short), request(3, long)])
    while completions := engine.poll():
        found.update({item.request: item for item in completions})
    alone = complete(engine_of(tiny_llama, backend="static"), [request(2, short), request(3, long)])
    assert all(found[i].text == alone[i].text for i in (2, 3))


def test_models_whose_layers_share_their_cache_get_static_batches(tiny_llama):
    model, tokenizer, revision = load_model(str(tiny_llama))
    assert isinstance(HuggingFaceEngine(model, tokenizer, revision, SAMPLED)._backend, SlotBackend)
    model.config.num_kv_shared_layers = 1
    assert isinstance(HuggingFaceEngine(model, tokenizer, revision, SAMPLED)._backend, StaticBackend)
    with pytest.raises(UserError, match="--engine_backend is 'slots'"):
        HuggingFaceEngine(model, tokenizer, revision, SAMPLED, backend="slots")
