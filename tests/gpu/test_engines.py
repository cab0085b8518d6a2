"""The in-process engine on a CUDA device. `pytest tests/gpu` runs these; without a device they are skipped."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from self_instruct.engines import load_engine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.memory import USABLE, choose_rows, free_bytes, measure_cache, memory_of, plan_rows
from self_instruct.engines.local.row_search import BatchSize, RowSearch
from tests.support.engine_runs import GREEDY, HEADER, PROMPTS, SAMPLED, complete, engine_of, generate_alone, request
from tests.support.tiny_models import CONTEXT, build_tokenizer, save_tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
BACKENDS = pytest.mark.parametrize("backend", ["slots", "static"])
LONG = [request(index, HEADER * 8 + PROMPTS[index % 5]) for index in range(96)]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Llama whose cache takes 16 KiB a token in double precision, so that rows can fill a limit."""
    folder, tokenizer = tmp_path_factory.mktemp("wide"), build_tokenizer()
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=1, pad_token_id=0,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def limit() -> Iterator[None]:
    """Lift a limit on the device's memory after the test."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def reserved(folder: Path, batch_size: int, backend: str) -> tuple[int, dict[int, str]]:
    """Return the peak of bytes that a run reserves on the device, and its texts."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    found = complete(engine_of(folder, backend=backend, batch_size=batch_size), LONG)
    assert not [item.error for item in found.values() if item.error]
    return torch.cuda.max_memory_reserved(), {index: item.text for index, item in found.items()}


@BACKENDS
@pytest.mark.parametrize(
    "architecture", ["gpt_bigcode", "starcoder2", "llama", "qwen3", "mistral", "gpt_neox", "falcon"]
)
def test_greedy_batches_equal_generate_one_prompt_at_a_time(architecture: str, backend: str, tmp_path: Path) -> None:
    engine = engine_of(save_tiny_model(architecture, tmp_path), batch_size=3, backend=backend)
    assert engine._model.device.type == "cuda" and engine.hardware
    found = complete(engine, [request(index, text) for index, text in enumerate(PROMPTS)])
    for index, text in enumerate(PROMPTS):
        item = found[index]
        expected = generate_alone(engine, text)
        assert (item.text, item.prompt_tokens, item.completion_tokens, item.finish_reason) == expected
    assert len({item.text for item in found.values()}) > 2, "all rows the same would prove nothing"


@BACKENDS
def test_a_request_draws_the_same_tokens_alone_and_beside_others(tiny_llama: Path, backend: str) -> None:
    sampling = replace(SAMPLED, repetition_penalty=1.3)
    requests = [request(index, text) for index, text in enumerate(PROMPTS)]
    together = complete(engine_of(tiny_llama, sampling, backend=backend, batch_size=5), requests)
    for item in requests:
        alone = complete(engine_of(tiny_llama, sampling, backend=backend, batch_size=1), [item])
        assert alone[item.index].text == together[item.index].text


def test_as_many_rows_as_fit_into_free_memory_do_fit(wide: Path) -> None:
    model = load_model(str(wide))[0].double()
    (place, size), longest = next(iter(measure_cache(model).items())), CONTEXT
    assert place.type == "cuda" and size.per_token == 2 * 4 * 256 * 8
    wanted = int(memory_of(model, size, 8, longest) / USABLE)
    ballast = torch.empty(free_bytes(place) - wanted - (8 << 20), dtype=torch.uint8, device=place)
    rows = choose_rows(model, longest)
    assert 4 <= rows <= 8
    del model
    found = complete(engine_of(wide, GREEDY, backend="slots", batch_size=rows), LONG[:24])
    assert sorted(found) == list(range(24)) and not [item.error for item in found.values() if item.error]
    del ballast


def test_a_search_for_rows_ends_on_a_device_and_changes_no_text(tiny_llama: Path) -> None:
    expected = complete(engine_of(tiny_llama, SAMPLED, backend="slots", batch_size=1), LONG)
    load = partial(load_engine, "huggingface", str(tiny_llama), None, SAMPLED, backend="slots")
    most = plan_rows(load_model(str(tiny_llama))[0], CONTEXT, BatchSize(search=True), None)[1]
    assert most is not None and most.most == 1024, "a tiny model fits often"
    engine = engine_of(tiny_llama, SAMPLED, backend="slots", search=RowSearch(8))
    found = complete(engine, LONG)
    assert {index: item.text for index, item in found.items()} == {
        index: item.text for index, item in expected.items()
    }
    tried = engine.rows_tried
    assert tried is not None and tried.conclusive and tried.speeds[0][0] == 1 and tried.rows == engine.rows
    searching = load(batch_size=BatchSize(search=True))
    assert searching.rows == 1
    hardware = searching.rows_tried.hardware  # type: ignore[attr-defined]
    assert torch.cuda.get_device_properties(0).name in hardware and "threads" not in hardware
    assert load(batch_size=BatchSize(found={hardware: 600})).rows == 600


@BACKENDS
def test_a_device_out_of_memory_halves_the_rows_and_changes_no_text(wide: Path, backend: str, limit: None) -> None:
    few, expected = reserved(wide, 2, backend)
    many, _ = reserved(wide, 64, backend)
    assert many - few > 256 << 20, "the limit between them must be above the allocator's grain"
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((few + (many - few) / 3) / total)
    engine = engine_of(wide, GREEDY, backend=backend, batch_size=64)
    found = complete(engine, LONG)
    assert engine.rows < 64
    assert {index: item.text for index, item in found.items()} == expected
