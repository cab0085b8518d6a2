"""The in-process engine on tiny models of real architectures."""

import random
import signal
from dataclasses import replace

import pytest
import torch

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, HEADER, PROMPTS, SAMPLED, complete, engine_of, generate_alone, request
from tests.support.tiny_models import build_tokenizer, save_tiny_model

ARCHITECTURES = ["gpt_bigcode", "starcoder2", "llama", "qwen3", "mistral", "gpt_neox", "opt", "bloom", "gptj", "falcon",
                 "mixtral"]  # fmt: skip
BACKENDS = pytest.mark.parametrize("backend", ["slots", "static"])


@pytest.fixture(scope="module", params=ARCHITECTURES)
def alone(request, tmp_path_factory):
    """Return a model's folder, whether it computes in double precision, and what `generate` writes for each prompt alone."""
    # Bloom and mixtures of experts compute in single precision for any weights, and fail with double.
    folder, double = tmp_path_factory.mktemp(request.param), request.param not in ("bloom", "mixtral")
    engine = engine_of(save_tiny_model(request.param, folder), double=double)
    return folder, double, [generate_alone(engine, text) for text in PROMPTS]


@BACKENDS
def test_greedy_batch_equals_generate_one_prompt_at_a_time(alone, backend):
    folder, double, written = alone
    engine = engine_of(folder, double=double, batch_size=3, backend=backend)
    found = complete(engine, [request(i, text) for i, text in enumerate(PROMPTS)])
    for index, expected in enumerate(written):
        item = found[index]
        assert (item.text, item.prompt_tokens, item.completion_tokens, item.finish_reason) == expected
    assert len({item.text for item in found.values()}) > 2, "equal rows would prove nothing"


def test_a_request_draws_the_same_tokens_alone_and_in_a_batch(tiny_llama):
    together = complete(
        engine_of(tiny_llama, SAMPLED, batch_size=5), [request(i, text) for i, text in enumerate(PROMPTS)]
    )
    for index, text in enumerate(PROMPTS):
        alone = complete(engine_of(tiny_llama, SAMPLED), [request(index, text)])
        assert alone[index].text == together[index].text


def test_other_seeds_give_other_texts(tiny_llama):
    engine = engine_of(tiny_llama, SAMPLED)
    found = complete(engine, [replace(request(i, "Add"), seed=str(i)) for i in range(6)])
    assert len({item.text for item in found.values()}) == 6


@BACKENDS
@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_repetition_penalty_ignores_padding(tiny_llama, penalty, backend):
    sampling = replace(GREEDY, repetition_penalty=penalty)
    together = complete(
        engine_of(tiny_llama, sampling, backend=backend), [request(i, text) for i, text in enumerate(PROMPTS)]
    )
    for index, text in enumerate(PROMPTS):
        assert complete(engine_of(tiny_llama, sampling), [request(index, text)])[index].text == together[index].text


@BACKENDS
def test_each_row_ends_before_its_own_stop_text(tiny_llama, backend):
    free = complete(engine_of(tiny_llama), [request(i, text) for i, text in enumerate(PROMPTS)])
    stops = {index: item.text[5:8] for index, item in free.items() if len(item.text) > 10}
    assert len(stops) >= 3
    found = complete(
        engine_of(tiny_llama), [request(i, text, (stops.get(i, "\0"),)) for i, text in enumerate(PROMPTS)]
    )
    for index, stop in stops.items():
        assert found[index].text == free[index].text[: free[index].text.index(stop)]
        assert found[index].finish_reason == "stop"
        assert found[index].completion_tokens <= free[index].completion_tokens


def test_stop_texts_are_not_looked_for_in_the_prompt(tiny_llama):
    free = complete(engine_of(tiny_llama), [request(0, "Add two numbers.")])[0].text
    assert complete(engine_of(tiny_llama), [request(0, "Add two numbers.", ("numbers.",))])[0].text == free
    across = "." + free[:1]
    assert complete(engine_of(tiny_llama), [request(0, "Add two numbers.", (across,))])[0].text == free


def short_of_memory(engine: HuggingFaceEngine, monkeypatch, fits) -> list[tuple[int, int]]:
    """Make the model's forward pass run out of memory for inputs that do not fit; return the list of input shapes."""
    real, shapes = engine._model.forward, []

    def forward(input_ids, **options):
        shapes.append(tuple(input_ids.shape))
        if not fits(options["attention_mask"].shape):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return real(input_ids=input_ids, **options)

    monkeypatch.setattr(engine._model, "forward", forward)
    return shapes


@BACKENDS
def test_out_of_memory_halves_the_batch_and_every_request_ends_once(tiny_llama, monkeypatch, backend):
    requests = [request(i, PROMPTS[i % 5]) for i in range(11)]
    engine = engine_of(tiny_llama, SAMPLED, batch_size=8, backend=backend)
    shapes = short_of_memory(engine, monkeypatch, lambda shape: shape[0] <= 2)
    found = complete(engine, requests)
    assert max(rows for rows, _ in shapes) > 2 and engine._backend.limit == 2
    assert sorted(found) == list(range(11))
    expected = complete(engine_of(tiny_llama, SAMPLED, backend=backend), requests)
    assert {i: item.text for i, item in found.items()} == {i: item.text for i, item in expected.items()}


def test_running_out_of_memory_at_random_loses_no_request(tiny_llama, monkeypatch):
    """With the slots back-end, test_local_slots.py shows this."""
    rng, failures, backend = random.Random(1), [], "static"
    requests = [request(i, HEADER + PROMPTS[i % 5]) for i in range(12)]
    engine = engine_of(tiny_llama, SAMPLED, batch_size=10, backend=backend)
    short_of_memory(engine, monkeypatch, lambda shape: shape[0] == 1 or rng.random() > 0.1 or failures.append(shape))
    found = complete(engine, requests)
    assert failures
    expected = complete(engine_of(tiny_llama, SAMPLED, backend=backend), requests)
    assert {i: item.text for i, item in found.items()} == {i: item.text for i, item in expected.items()}


@BACKENDS
def test_a_request_too_large_for_memory_ends_as_an_error_and_others_continue(tiny_llama, monkeypatch, backend):
    engine = engine_of(tiny_llama, batch_size=2, backend=backend)
    short_of_memory(engine, monkeypatch, lambda shape: shape[1] <= 40)
    found = complete(engine, [request(i, text) for i, text in enumerate(PROMPTS)])
    assert found[3].finish_reason == "error" and "out of memory" in found[3].error
    assert {i for i, item in found.items() if item.finish_reason != "error"} == {0, 1, 2, 4}


def test_a_shared_prefix_is_read_once(tiny_llama, monkeypatch):
    engine = engine_of(tiny_llama, batch_size=4, backend="slots")
    shapes = short_of_memory(engine, monkeypatch, lambda shape: True)
    found = complete(engine, [request(i, HEADER + text) for i, text in enumerate(PROMPTS)])
    header = len(engine._tokenizer(HEADER)["input_ids"])
    assert sum(columns for rows, columns in shapes if columns > 1) < header + sum(
        i.prompt_tokens - header + 4 for i in found.values()
    )
    alone = complete(
        engine_of(tiny_llama, batch_size=1, backend="static"),
        [request(i, HEADER + text) for i, text in enumerate(PROMPTS)],
    )
    assert {i: item.text for i, item in found.items()} == {i: item.text for i, item in alone.items()}


def test_a_waiting_request_takes_the_slot_of_a_finished_one_at_once(tiny_llama, monkeypatch):
    engine = engine_of(tiny_llama, batch_size=2, backend="slots")
    shapes = short_of_memory(engine, monkeypatch, lambda shape: True)
    short = complete(engine_of(tiny_llama), [request(0, PROMPTS[1])])[0].text[:2]
    found = complete(engine, [request(0, PROMPTS[2]), *(request(i, PROMPTS[1], (short,)) for i in range(1, 9))])
    assert len(found) == 9 and found[0].completion_tokens > 8
    steps = [rows for rows, columns in shapes if columns == 1]
    assert len(steps) < 40


def test_chat_models_get_the_prompt_as_a_user_message_and_continue_the_opening(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    folder = save_tiny_model("qwen3", tmp_path, tokenizer)
    chat, base = engine_of(folder), engine_of(folder, chat_template="never")
    assert (
        tokenizer.decode(chat._encoder.encode("List.\n", "4. Instruction:\n"))
        == "<user>List.<assistant>4. Instruction:\n"
    )
    assert tokenizer.decode(base._encoder.encode("List.\n", "4. Instruction:\n")) == "List.\n4. Instruction:\n"


def test_a_missing_chat_template_is_refused(tiny_llama):
    with pytest.raises(UserError, match=r"--chat_template is 'always'"):
        engine_of(tiny_llama, chat_template="always")


@BACKENDS
def test_an_interruption_returns_only_finished_rows(tiny_llama, backend):
    engine = engine_of(tiny_llama, Sampling(max_new_tokens=400, temperature=0), backend=backend)
    free = complete(engine_of(tiny_llama, Sampling(max_new_tokens=12, temperature=0)), [request(0, PROMPTS[1])])[
        0
    ].text
    seen = []

    def step(rows: int) -> None:
        seen.append(rows)
        if len(seen) == 12:
            signal.raise_signal(signal.SIGUSR1)

    engine.on_step = step
    previous = signal.signal(signal.SIGUSR1, lambda *_: engine.interrupt())
    try:
        engine.submit([request(0, PROMPTS[1], (free[:3],)), request(1, PROMPTS[2])])
        completions = engine.poll() + engine.poll()
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert [item.request for item in completions] == [0] and completions[0].text == ""
    assert len(seen) == 12 and seen[-1] == 1
    assert engine.poll() == []


def test_a_broken_chat_template_is_named(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no user here') }}"
    with pytest.raises(UserError, match=r"no user here.*--chat_template never"):
        engine_of(save_tiny_model("llama", tmp_path, tokenizer))
