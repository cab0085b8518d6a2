"""Which options of quantisation, placement and parallelism can be combined."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig

from self_instruct.engines import load_engine
from self_instruct.engines.local import packing, placement
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.placement import Machine, Placement, check, device, loading_options
from self_instruct.engines.local.row_search import BatchSize
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, PROMPTS, complete, request
from tests.support.tiny_models import build_tokenizer

LLAMA = LlamaConfig(hidden_size=384, num_attention_heads=12, num_key_value_heads=4)
ALL = frozenset({"bitsandbytes", "flash_attn", "flash_attn_interface", "kernels"})
GPU, CPU = Machine("cuda", 8, 8, 8, ALL), Machine("cpu", 1, 1, 1, ALL)
ONE_GPU = replace(GPU, processes=1, processes_here=1)


@pytest.mark.parametrize(
    ("placement", "machine", "config"),
    [
        (Placement(), CPU, LLAMA),
        (Placement(), replace(CPU, processes=3), MambaConfig()),
        (Placement(dtype="float32", attn_implementation="sdpa"), GPU, LLAMA),
        (Placement(dtype="bfloat16", attn_implementation="flash_attention_2", quantization="4bit"), GPU, LLAMA),
        (Placement(quantization="8bit"), CPU, LLAMA),
        (Placement(device_map="auto", quantization="4bit"), ONE_GPU, LLAMA),
        (Placement(), replace(CPU, processes=9, processes_here=9), LLAMA),
        (Placement(), replace(GPU, processes=3, processes_here=3), LLAMA),
        (Placement(), replace(GPU, devices=1, visibility_variable="CUDA_VISIBLE_DEVICES"), LLAMA),
    ],
)  # fmt: skip
def test_valid_combinations_pass(placement, machine, config):
    check(placement, machine, config)


@pytest.mark.parametrize(
    ("placement", "machine", "config", "message"),
    [
        (Placement(device_map="auto"), GPU, LLAMA, "one process all devices, but 8 were started"),
        (Placement(quantization="4bit"), replace(GPU, packages=frozenset()), LLAMA,
         r"pip install -e '\.\[quantization\]' in the project's directory"),
        (Placement(quantization="8bit", dtype="float32"), GPU, LLAMA, "--dtype float32 .*bfloat16"),
        (Placement(quantization="4bit"), GPU, LlamaConfig(quantization_config={"quant_method": "gptq"}), "quantised already"),
        (Placement(), replace(GPU, devices=4), LLAMA,
         "^8 processes were started on this machine, but it has 4 cuda devices, .* at most: --num_processes 4$"),
        (Placement(), replace(GPU, devices=1), LLAMA, "has 1 cuda device, .*--num_processes 1$"),
        (Placement(), replace(GPU, devices=4, processes=24), LLAMA, "--num_processes 12, for 3 such machines$"),
        (Placement(attn_implementation="flash_attention_2"), CPU, LLAMA, "needs a GPU"),
        (Placement(attn_implementation="flash_attention_2"), replace(GPU, packages=frozenset()), LLAMA, "flash_attn, kernels"),
        (Placement(attn_implementation="flash_attention_3"), replace(GPU, packages={"flash_attn"}), LLAMA, "_interface"),
        (Placement(attn_implementation="flash_attention_2", dtype="float32"), GPU, LLAMA, "half precision only"),
    ],
)  # fmt: skip
def test_invalid_combinations_are_refused_with_the_reason(placement, machine, config, message):
    with pytest.raises(UserError, match=message):
        check(placement, machine, config)


@pytest.mark.parametrize("local_rank", ["0", "1"])
def test_a_device_that_processes_may_share_gives_one_warning_per_machine(local_rank, monkeypatch, caplog):
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    machine = replace(GPU, devices=1, visibility_variable="CUDA_VISIBLE_DEVICES")
    check(Placement(), replace(machine, processes_here=1), LLAMA)
    assert caplog.messages == []
    check(Placement(), machine, LLAMA)
    said = "8 processes were started on this machine, and CUDA_VISIBLE_DEVICES shows this process 1 cuda device"
    assert [text.startswith(said) for text in caplog.messages] == [True] * (local_rank == "0")


def test_this_machine_is_described_by_its_devices_and_the_launcher(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    found = Machine.here(6)
    assert (found.kind, found.devices) == (device().type, max(1, torch.accelerator.device_count()))
    assert (found.processes, found.processes_here, found.one_device_variable) == (6, 3, None)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2")
    assert Machine.here(6).one_device_variable == ("HIP_VISIBLE_DEVICES" if found.devices == 1 else None)


@pytest.mark.parametrize(
    ("stored", "amx", "dtype"),
    [
        (torch.bfloat16, True, torch.bfloat16),
        (torch.bfloat16, False, torch.float32),
        (torch.float16, True, torch.float32),
        (torch.float32, True, torch.float32),
        (None, True, torch.float32),
    ],
)
def test_on_a_cpu_weights_stay_in_bfloat16_only_if_it_multiplies_them(stored, amx, dtype, monkeypatch):
    monkeypatch.setattr(placement, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(packing, "multiplies_bfloat16", lambda: amx)
    assert loading_options(Placement(), stored)["dtype"] == dtype
    assert loading_options(Placement(dtype="float16"), stored)["dtype"] == torch.float16


def test_an_invalid_combination_is_refused_before_any_weights_are_read(tiny_llama, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_llama / "config.json").read_bytes())
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="--device_map auto gives one process all devices, but 3 were started"):
        load_engine("huggingface", str(tmp_path), None, GREEDY, placement=Placement(device_map="auto"), processes=3)


def test_a_model_placed_by_accelerate_writes_the_same_texts(tiny_llama):
    texts = []
    for device_map in (None, "auto"):
        engine = load_engine(
            "huggingface",
            str(tiny_llama),
            None,
            GREEDY,
            placement=Placement(device_map=device_map),
            batch_size=BatchSize(3),
        )
        texts.append(
            {i: item.text for i, item in complete(engine, [request(i, p) for i, p in enumerate(PROMPTS)]).items()}
        )
    assert texts[0] == texts[1] and len(set(texts[0].values())) == 5


@pytest.mark.parametrize(("bits", "share"), [("4bit", 0.25), ("8bit", 0.5)])
def test_quantised_weights_are_smaller_and_generate(tmp_path, bits, share):
    pytest.importorskip("bitsandbytes")
    # Weights are quantised in blocks of 64, so the model must be wider than those of other tests.
    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=400
    )
    build_tokenizer().save_pretrained(tmp_path)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    engine = load_engine("huggingface", str(tmp_path), None, GREEDY, placement=Placement(quantization=bits))
    half = load_model(str(tmp_path), None, Placement(dtype="bfloat16"))[0]
    small, large = (model.model.layers[0].mlp.up_proj.weight for model in (engine._model, half))
    assert small.numel() * small.element_size() == share * large.numel() * large.element_size()
    assert engine._model.dtype == torch.bfloat16 and engine.rows == 16
    found = complete(engine, [request(i, text) for i, text in enumerate(PROMPTS)])
    assert len(found) == 5 and all(item.completion_tokens for item in found.values())

    ids = torch.arange(5, 45)[None]
    with torch.inference_mode():
        near, exact = (model(input_ids=ids).logits.float() for model in (engine._model, half))
    assert 0 < (near - exact).norm() < 0.3 * exact.norm()
