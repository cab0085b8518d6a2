"""Faulty models and tokenizers: each gives a clear message, or stops the run with a reason."""

import json

import pytest

from self_instruct.engines import load_engine
from self_instruct.engines.local.row_search import BatchSize
from self_instruct.engines.local.sampling import NO_NUMBERS
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, HEADER, PROMPTS, SAMPLED, TOKENS, complete, engine_of, request
from tests.support.faulty_models import (
    END,
    save_constant_model,
    save_model_that_overflows,
    save_model_with_nan,
    token_of,
)
from tests.support.loop_runs import looped
from tests.support.runs import ROOT, generate, rows
from tests.support.tiny_models import CONTEXT, build_tokenizer, save_tiny_model

BACKENDS = pytest.mark.parametrize("backend", ["slots", "static"])
REQUESTS = [request(index, text) for index, text in enumerate(PROMPTS)]


def bootstrapped(folder, run, backend, patience=4):
    """Run the loop with a model in this process; return why it stopped, and its drops by reason."""
    engine = engine_of(folder, SAMPLED, backend=backend, double=False)
    loop, stopped = looped(engine, run, patience=patience, min_yield=0.01)
    return stopped, {reason for _, reason in loop.funnel.drops}


# ---- what the model writes


@BACKENDS
def test_a_model_that_ends_every_text_at_once_stops_the_run_with_this_reason(tmp_path, backend):
    folder = save_constant_model(tmp_path / "model", END)
    found = complete(engine_of(folder, backend=backend), REQUESTS)
    assert {(item.text, item.finish_reason, item.completion_tokens) for item in found.values()} == {("", "stop", 1)}
    stopped, drops = bootstrapped(folder, tmp_path / "run", backend)
    assert stopped.startswith("the yield of the last 4 requests was 0.00%")
    assert stopped.endswith("the model wrote nothing, it ends every text at once") and drops == {"empty_block"}


@BACKENDS
def test_a_model_that_writes_one_token_forever_is_cut_and_stops_the_run(tmp_path, backend):
    folder = save_constant_model(tmp_path / "model", token_of("a"))
    found = complete(engine_of(folder, SAMPLED, backend=backend), REQUESTS)
    assert {(item.text, item.finish_reason) for item in found.values()} == {("a" * TOKENS, "length")}
    stopped, drops = bootstrapped(folder, tmp_path / "run", backend)
    assert "not one of its blocks could be read, most of them for cut_by_length" in stopped and len(drops) == 1


@BACKENDS
def test_invalid_bytes_become_replacement_characters_in_valid_files(tmp_path, backend):
    folder = save_constant_model(tmp_path / "model", token_of("ÿ"), token_of("Ã"), END)
    found = complete(engine_of(folder, SAMPLED, backend=backend), [request(i, "Add") for i in range(40)])
    texts = {item.text for item in found.values()}
    assert len(texts) > 5 and set("".join(texts)) == {"\ufffd"}
    bootstrapped(folder, tmp_path / "run", backend)
    for name in ("completions.jsonl", "rejected.jsonl"):
        for line in (tmp_path / "run" / name).read_bytes().splitlines():
            assert json.loads(line.decode("utf-8"))["request"] >= 0


# ---- NaN and overflow


def test_a_model_with_nan_weights_is_refused_before_it_generates(tmp_path):
    folder = save_model_with_nan(tmp_path / "model")
    with pytest.raises(UserError, match=r"not numbers .*--dtype"):
        load_engine("huggingface", str(folder), None, GREEDY)
    options = ["--seed_tasks_path", ROOT / "seeds/code.jsonl", "--max_new_tokens", 64, "--num_prompt_instructions", 2]
    result = generate(
        "--model_name_or_path", folder, "--batch_dir", tmp_path / "run", *options,
        "--num_prompt_synthetic_instructions", 0,
    )  # fmt: skip
    assert result.returncode == 2 and f"error: {NO_NUMBERS}" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("sampling", "backend"), [(GREEDY, "static"), (SAMPLED, "slots")], ids=["greedy", "sampled"])
def test_a_request_whose_logits_overflow_ends_alone(tmp_path, tiny_llama, backend, sampling):
    folder = save_model_that_overflows(tmp_path / "model", token_of("Ã"))
    requests = [request(at, HEADER * (at % 3 == 0) + PROMPTS[at % 5]) for at in range(10)]
    broken = {item.index for item in requests if "é" in item.prompt}
    found = complete(engine_of(folder, sampling, backend=backend, batch_size=4, double=False), requests)
    assert {index for index, item in found.items() if item.error == NO_NUMBERS} == broken and len(broken) == 2
    whole = engine_of(tiny_llama, sampling, backend=backend, batch_size=4, double=False)
    expected = complete(whole, [item for item in requests if item.index not in broken])
    assert {index: item.text for index, item in found.items() if not item.error} == {
        index: item.text for index, item in expected.items()
    }


def test_a_sampled_request_whose_logits_overflow_ends_alone_with_paged(tmp_path):
    engine = engine_of(save_model_that_overflows(tmp_path / "model", token_of("Ã")), SAMPLED, backend="paged")
    try:
        found = complete(engine, REQUESTS)
    finally:
        engine.close()
    assert found.pop(4).error == NO_NUMBERS and not [item.error for item in found.values() if item.error]


@pytest.mark.parametrize("lag", [0, 1])
def test_a_row_with_nan_does_not_affect_the_next_row_in_its_slot(tmp_path, tiny_llama, lag):
    folder = save_model_that_overflows(tmp_path / "model", token_of("Ã"))
    requests = [request(0, "é" * 40), request(1, "Add"), request(2, HEADER), request(3, "é"), request(4, HEADER * 2)]

    def generated(path, asked):
        engine = engine_of(path, batch_size=1, backend="slots", double=False)
        engine._backend._lag = lag
        return {index: item.text for index, item in complete(engine, asked).items() if not item.error}

    assert generated(folder, requests) == generated(tiny_llama, [requests[at] for at in (1, 2, 4)])


def test_a_run_whose_logits_always_overflow_stops_after_twenty_requests(tmp_path):
    # Every prompt contains this word at the start of a block; the short text that is checked at the start does not.
    folder = save_model_that_overflows(tmp_path / "model", token_of("I"))
    tokenizer = build_tokenizer()
    assert token_of("I") not in tokenizer("A task.")["input_ids"]
    folder = save_model_that_overflows(tmp_path / "model", tokenizer("1. Instruction:\n")["input_ids"][-2])
    engine = load_engine("huggingface", str(folder), None, SAMPLED, batch_size=BatchSize(4))
    loop, stopped = looped(engine, tmp_path / "run")
    assert stopped == f"the last 20 requests could not be answered: {NO_NUMBERS}" and loop.failed
    assert {row["error"] for row in rows(tmp_path / "run/completions.jsonl")} == {NO_NUMBERS}


# ---- tokenizers and contexts


@pytest.mark.parametrize(
    ("special", "backend"),
    [({"unk_token": "<|pad|>"}, "slots"), ({"eos_token": "<|end|>"}, "static")],
    ids=["neither", "no pad"],
)
def test_a_tokenizer_without_pad_or_end_token_works(tmp_path, special, backend):
    folder = save_tiny_model("llama", tmp_path, build_tokenizer(**special))
    found = complete(engine_of(folder, batch_size=5, backend=backend), REQUESTS)
    reference = complete(engine_of(folder, batch_size=1, backend=backend), REQUESTS)
    assert {i: item.text for i, item in found.items()} == {i: item.text for i, item in reference.items()}


def test_a_model_without_any_end_token_ends_at_the_length_limit(tmp_path):
    folder = save_tiny_model("llama", tmp_path, build_tokenizer(unk_token="<|pad|>"))
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "eos_token_id": None, "pad_token_id": None}))
    found = complete(engine_of(folder, SAMPLED, batch_size=5), REQUESTS)
    assert {item.finish_reason for item in found.values()} == {"length"}


def test_prompt_that_does_not_fit_the_context_is_refused_alone(tiny_llama):
    engine = engine_of(tiny_llama)
    assert engine.context_length == CONTEXT
    found = complete(engine, [request(0, "Add"), request(1, "é " * CONTEXT), request(2, "\n" * 1010)])
    assert found[0].finish_reason != "error" and found[0].text
    assert found[1].finish_reason == "error" and found[1].error.endswith(
        f" tokens, which with --max_new_tokens {TOKENS} is more than the model's context of 1,024 tokens; shorten the prompt"
    )
    assert found[2].error.endswith("context of 1,024 tokens; use at most --max_new_tokens 14")


def test_a_tokenizer_of_another_model_is_reported(tmp_path):
    tokenizer = build_tokenizer()
    folder = save_tiny_model("llama", tmp_path, tokenizer)
    tokenizer.add_tokens(["Reverse a string"])
    tokenizer.save_pretrained(folder)
    found = complete(engine_of(folder), REQUESTS)
    assert "but the model's vocabulary has" in found.pop(1).error
    assert all(item.text and not item.error for item in found.values())
