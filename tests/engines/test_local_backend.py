"""Which back-end is chosen, and the reasons against the others."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import GPTJForCausalLM

from self_instruct.engines.local import backend as choice
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.paged import PagedBackend
from self_instruct.engines.local.placement import Placement
from self_instruct.engines.local.slots import SlotBackend
from self_instruct.engines.local.static import StaticBackend
from self_instruct.errors import UserError
from tests.support.engine_runs import GREEDY, SAMPLED, engine_of
from tests.support.tiny_models import save_tiny_model


@pytest.fixture
def fast(monkeypatch):
    """Pretend that the paged back-end is fast on this machine."""
    monkeypatch.setattr(choice, "_speed_obstacle", lambda model: None)


def test_on_a_cpu_auto_chooses_slots_and_gives_the_reason_against_paged(tiny_llama):
    engine = engine_of(tiny_llama)
    assert isinstance(engine._backend, SlotBackend)
    assert engine.method == "slots (not paged: it gains on CUDA only, and the model is on cpu)"


def test_auto_chooses_paged_if_it_is_fast_and_correct(tiny_llama, fast):
    engine = engine_of(tiny_llama)
    assert isinstance(engine._backend, PagedBackend) and engine.method == "paged"


def test_requests_with_their_own_sampling_do_not_use_paged(tiny_llama, fast):
    model, tokenizer, revision = load_model(str(tiny_llama))
    engine = HuggingFaceEngine(model, tokenizer, revision, GREEDY, same_sampling=False)
    assert isinstance(engine._backend, SlotBackend) and "some have their own" in engine.method
    with pytest.raises(UserError, match="--engine_backend is 'paged', but it uses one sampling for all requests"):
        HuggingFaceEngine(model, tokenizer, revision, GREEDY, backend="paged", same_sampling=False)


def test_paged_is_not_used_with_a_repetition_penalty(tiny_llama, fast):
    penalised = replace(SAMPLED, repetition_penalty=1.2)
    engine = engine_of(tiny_llama, penalised)
    assert isinstance(engine._backend, SlotBackend)
    assert "not paged: it would ignore --repetition_penalty" in engine.method
    with pytest.raises(UserError, match="--engine_backend is 'paged', but it would ignore --repetition_penalty"):
        engine_of(tiny_llama, penalised, backend="paged")


def test_auto_falls_back_to_static_and_gives_the_reasons_against_the_others(tiny_llama, fast):
    model, tokenizer, revision = load_model(str(tiny_llama))
    model.config.num_kv_shared_layers = 1
    engine = HuggingFaceEngine(model, tokenizer, revision, GREEDY, reasons_against={"vllm": "it is not installed"})
    assert isinstance(engine._backend, StaticBackend)
    reasons = "static (not vllm: it is not installed; not paged: LlamaForCausalLM does not keep"
    assert engine.method.startswith(reasons) and "; not slots: " in engine.method


@pytest.mark.parametrize("architecture", ["bloom", "gptj", "falcon"])
def test_architectures_with_their_own_attention_are_not_paged(architecture, tmp_path, fast):
    folder = save_tiny_model(architecture, tmp_path)
    with pytest.raises(UserError, match=r"--engine_backend is 'paged', but \w+ForCausalLM uses its own attention"):
        engine_of(folder, double=False, backend="paged")
    engine = engine_of(folder, double=False)
    assert isinstance(engine._backend, SlotBackend) and "uses its own attention" in engine.method


def test_the_probe_finds_an_architecture_that_wrongly_claims_support(tmp_path, monkeypatch):
    monkeypatch.setattr(GPTJForCausalLM, "_supports_attention_backend", True)
    with pytest.raises(UserError, match="it does not write what generate writes with GPTJForCausalLM"):
        engine_of(save_tiny_model("gptj", tmp_path), backend="paged")


def test_the_probe_finds_a_model_whose_keys_do_not_fit_into_the_cache(tmp_path):
    model, tokenizer, revision = load_model(str(save_tiny_model("gpt_neox", tmp_path)))
    model.config.num_key_value_heads = 2  # this architecture has no such option, but the cache would use it
    with pytest.raises(UserError, match=r"it cannot run GPTNeoXForCausalLM .*index_copy_"):
        HuggingFaceEngine(model, tokenizer, revision, GREEDY, backend="paged")


def test_the_probe_finds_heads_whose_size_differs_from_the_configuration(tiny_llama):
    model, tokenizer, revision = load_model(str(tiny_llama))
    model.config.head_dim = 16
    with pytest.raises(UserError, match=r"keys and values of LlamaForCausalLM differ in size \(8, 16\)"):
        HuggingFaceEngine(model, tokenizer, revision, GREEDY, backend="paged")


def test_the_probe_restores_the_attention_and_leaves_no_thread(tiny_llama):
    model, tokenizer, revision = load_model(str(tiny_llama), placement=Placement(attn_implementation="eager"))
    engine = HuggingFaceEngine(model, tokenizer, revision, GREEDY, backend="paged")
    assert model.config._attn_implementation == "eager"
    assert engine._backend.active == 0 and engine._backend._manager is None


def test_logits_that_are_nan_are_reported(tiny_llama):
    model, tokenizer, revision = load_model(str(tiny_llama))
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"not numbers .*--dtype"):
        HuggingFaceEngine(model, tokenizer, revision, GREEDY, backend="paged")


@pytest.mark.parametrize(
    ("capability", "dtype", "attention", "message"),
    [
        ((7, 5), torch.float16, "flash_attention_2", "compute capability"),
        ((8, 0), torch.float32, "flash_attention_2", "--dtype bfloat16 or float16, not float32"),
        ((9, 0), torch.bfloat16, "sdpa", "--attn_implementation flash_attention_2"),
        ((9, 0), torch.bfloat16, "flash_attention_3", "--attn_implementation flash_attention_2"),
        ((9, 0), torch.bfloat16, "flash_attention_2", None),
    ],
)
def test_paged_is_assumed_to_be_fast_only_with_flash_attention_on_a_recent_gpu(
    monkeypatch, capability, dtype, attention, message
):
    # The tests run without such a device, so this object describes one.
    config = SimpleNamespace(_attn_implementation=attention)
    model = SimpleNamespace(
        device=torch.device("cuda", 0), dtype=dtype, config=SimpleNamespace(get_text_config=lambda: config)
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(choice, "_FLASH", {"flash_attention_2": lambda: True, "flash_attention_3": lambda: False})
    reason = choice._speed_obstacle(model)
    assert reason is None if message is None else message in reason


@pytest.mark.parametrize(
    ("second", "dtype", "agrees"),
    [
        (7.75, torch.bfloat16, True),
        (7.7, torch.bfloat16, False),
        (7.75, torch.float32, False),
        (8.0, torch.float32, True),
    ],
)
def test_another_token_is_accepted_only_if_rounding_may_explain_it(second, dtype, agrees):
    logits = torch.tensor([[8.0, 0.0, second], [0.0, 8.0, 0.0]])
    assert choice._agrees([0, 1], logits, GREEDY, dtype)
    assert choice._agrees([2, 0], logits, GREEDY, dtype) is agrees
    assert not choice._agrees([0, 2], logits, GREEDY, dtype)
