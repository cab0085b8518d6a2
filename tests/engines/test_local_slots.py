"""Edge cases of continuous batching."""

import itertools
import random
from dataclasses import replace

import pytest
import torch

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.slots import SlotBackend
from self_instruct.engines.local.static import StaticBackend
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, HEADER, PROMPTS, complete, engine_of, request
from tests.support.tiny_models import save_tiny_model

SAMPLED = Sampling(max_new_tokens=14, temperature=1.0, top_p=0.9)
SHORT = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


def slots(folder, sampling=SAMPLED, lag=0, **options) -> HuggingFaceEngine:
    engine = engine_of(folder, sampling, backend="slots", **options)
    engine._backend._lag = lag
    return engine


def texts(found: dict) -> dict:
    return {index: (item.text, item.completion_tokens, item.finish_reason) for index, item in found.items()}


def failing(monkeypatch, owner, name, when, after=False) -> list[int]:
    """Make a function run out of memory, before or after its work, at the calls that `when` selects by number."""
    real, failures, calls = getattr(owner, name), [], itertools.count()

    def wrapped(*arguments, **options):
        short = when(next(calls))
        result = real(*arguments, **options) if after or not short else None
        if short:
            failures.append(1)
            raise RuntimeError(SHORT)
        return result

    monkeypatch.setattr(owner, name, wrapped)
    return failures


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_reading_tokens_one_step_later_changes_no_text(tiny_llama, penalty):
    sampling = replace(SAMPLED, repetition_penalty=penalty)
    free = complete(slots(tiny_llama, sampling), [request(i, PROMPTS[i % 5]) for i in range(12)])
    stops = {index: (item.text[4:6],) for index, item in free.items() if index % 3 and len(item.text) > 6}
    requests = [request(i, PROMPTS[i % 5], stops.get(i, ())) for i in range(12)]
    found = [complete(slots(tiny_llama, sampling, lag, batch_size=5), requests) for lag in (0, 1)]
    assert texts(found[0]) == texts(found[1])
    assert {item.finish_reason for item in found[0].values()} == {"stop", "length"}
    alone = complete(engine_of(tiny_llama, sampling, backend="static", batch_size=1), requests)
    assert texts(found[0]) == texts(alone)


SHORT_OF_MEMORY = [request(i, HEADER * (i % 2) + PROMPTS[i % 3]) for i in range(9)]


@pytest.fixture(scope="module")
def expected(tiny_llama):
    """Return the completions of SHORT_OF_MEMORY from the static back-end."""
    return texts(complete(engine_of(tiny_llama, SAMPLED, backend="static", batch_size=9), SHORT_OF_MEMORY))


@pytest.mark.parametrize(
    ("place", "after", "lag"),
    [
        ("backend _evict", False, 0), ("backend _evict", True, 1), ("model launch", False, 0), ("model launch", False, 1),
        ("model read", False, 1), ("model read", True, 0), ("cache _relocate", False, 0), ("cache _relocate", True, 1),
        ("cache shrink", False, 1),
    ],
)  # fmt: skip
def test_running_out_of_memory_anywhere_changes_no_text(tiny_llama, expected, monkeypatch, place, after, lag):
    engine = slots(tiny_llama, SAMPLED, lag, batch_size=6)
    backend = engine._backend
    owners = {"backend": backend, "model": backend._model, "cache": backend._model.cache}
    owner, name = place.split()
    if name == "shrink":  # it is only called after memory has run out once
        failing(monkeypatch, backend._model, "launch", lambda call: call == 5)
    failures = failing(
        monkeypatch, owners[owner], name, lambda call: call in ((0,) if name == "shrink" else (1, 6)), after
    )
    assert texts(complete(engine, SHORT_OF_MEMORY)) == expected
    assert failures and backend.limit < 6


@pytest.mark.parametrize("seed", range(2))
def test_running_out_of_memory_at_random_changes_no_text(tiny_llama, monkeypatch, seed):
    rng = random.Random(seed)
    requests = [request(i, HEADER * rng.randint(0, 1) + PROMPTS[i % 5]) for i in range(12)]
    expected = complete(engine_of(tiny_llama, SAMPLED, backend="static", batch_size=12), requests)
    engine = slots(tiny_llama, SAMPLED, seed % 2, batch_size=10)
    backend = engine._backend

    def several(chance: float) -> bool:
        return len(backend._rows) + len(backend._joining) > 1 and rng.random() < chance

    failures = [
        failing(monkeypatch, engine._model, "forward", lambda call: several(0.2), after=seed % 3 == 0),
        failing(monkeypatch, backend._model.cache, "_relocate", lambda call: several(0.4), after=seed % 3 == 1),
    ]
    assert texts(complete(engine, requests)) == texts(expected)
    assert any(failures)


def test_a_single_row_is_tried_again_once_and_then_given_up(tiny_llama, monkeypatch):
    expected = complete(slots(tiny_llama), [request(0, "Add"), request(1, PROMPTS[1])])
    engine = slots(tiny_llama, batch_size=4)
    failing(monkeypatch, engine._backend._model, "launch", lambda call: call == 7)
    assert texts(complete(engine, [request(0, "Add")]))[0] == texts(expected)[0]
    assert engine._backend.limit == 4
    engine = slots(tiny_llama, batch_size=4)
    failures = failing(monkeypatch, engine._backend._model, "launch", lambda call: call in (7, 12))
    found = complete(engine, [request(0, "Add")])
    assert found[0].finish_reason == "error" and "can't allocate" in found[0].error and len(failures) == 2
    assert texts(complete(engine, [request(1, PROMPTS[1])]))[1] == texts(expected)[1]


def test_active_rows_continue_if_memory_runs_out_for_a_new_one(tiny_llama, monkeypatch):
    engine = slots(tiny_llama, batch_size=4)
    backend, reads = engine._backend, []
    backend._read_tokens = 0  # one at a time
    failing(monkeypatch, backend._model, "read", lambda call: call == 3)
    real = backend._model.read
    monkeypatch.setattr(
        backend._model,
        "read",
        lambda texts, *rest: (reads.append(len(reads)), real(texts, *rest), reads.append(texts)),
    )
    found = complete(engine, [request(i, f"{i} {PROMPTS[1]}") for i in range(4)])
    assert backend.limit == 2 and len(found) == 4
    finished = [len(texts) for texts in reads if isinstance(texts, list)]
    assert sum(finished) == 3 + 2, "the two oldest rows must not be read again"


def test_equal_prompts_are_read_once(tiny_llama, monkeypatch):
    engine = slots(tiny_llama, batch_size=3)
    widths, real = [], engine._model.forward

    def forward(input_ids, **options):
        widths.append(input_ids.shape)
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(engine._model, "forward", forward)
    prompt = HEADER + PROMPTS[1]
    found = complete(engine, [request(i, prompt) for i in range(8)])
    assert sum(width > 1 for _, width in widths) == 1
    alone = complete(engine_of(tiny_llama, SAMPLED, backend="static"), [request(i, prompt) for i in range(8)])
    assert texts(found) == texts(alone) and len(set(texts(found).values())) > 4


@pytest.mark.parametrize("architecture", ["bloom", "mistral", "gpt_bigcode", "opt", "falcon"])
def test_prompts_of_different_length_can_be_read_together(architecture, tmp_path, monkeypatch):
    folder = save_tiny_model(architecture, tmp_path)
    double = architecture != "bloom"
    requests = [request(i, HEADER + "Sort the list now. " * (2 + i % 4) + str(i)) for i in range(9)]
    expected = complete(slots(folder, GREEDY, double=double), requests)
    engine = slots(folder, GREEDY, double=double, batch_size=9)
    engine._backend._read_tokens, reads, real = 10**6, [], engine._backend._model.read
    monkeypatch.setattr(engine._backend._model, "read", lambda *rest: (reads.append(len(rest[0])), real(*rest)))
    assert texts(complete(engine, requests)) == texts(expected)
    assert max(reads) > 2


def test_errors_other_than_out_of_memory_are_raised(tiny_llama, monkeypatch):
    engine = engine_of(tiny_llama)
    monkeypatch.setattr(engine._backend._model, "read", lambda *rest: torch.zeros(2) @ torch.zeros(3))
    engine.submit([request(0, "Add")])
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        engine.poll()


def test_a_prompt_that_is_a_prefix_of_a_cached_one_is_read(tiny_llama):
    long, short = HEADER + PROMPTS[1], HEADER
    engine = engine_of(tiny_llama, batch_size=2, backend="slots")
    found = complete(engine, [request(0, long + "x"), request(1, long + "y")])
    engine._interrupted = False
    engine.submit([request(2, short), request(3, long)])
    while completions := engine.poll():
        found.update({item.request: item for item in completions})
    alone = complete(engine_of(tiny_llama, backend="static"), [request(2, short), request(3, long)])
    assert all(found[i].text == alone[i].text for i in (2, 3))


def test_models_whose_layers_share_a_cache_use_static_batches(tiny_llama):
    model, tokenizer, revision = load_model(str(tiny_llama))
    assert isinstance(HuggingFaceEngine(model, tokenizer, revision, SAMPLED)._backend, SlotBackend)
    model.config.num_kv_shared_layers = 1
    assert isinstance(HuggingFaceEngine(model, tokenizer, revision, SAMPLED)._backend, StaticBackend)
    with pytest.raises(UserError, match="--engine_backend is 'slots'"):
        HuggingFaceEngine(model, tokenizer, revision, SAMPLED, backend="slots")
