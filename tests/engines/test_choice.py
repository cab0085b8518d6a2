"""Which engine `--engine auto` chooses, and which options an engine does not support."""

import pytest

from self_instruct.engines import choice
from self_instruct.engines.choice import check_engine, choose_engine
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.errors import UserError

DEFAULTS = {**vars(ModelOptions()), **vars(SamplingOptions()), **vars(EndpointOptions())}


def broken() -> set[str]:
    raise ImportError("libcudart is missing")


@pytest.mark.parametrize(
    ("installed", "device", "options", "supported", "reason"),
    [
        (False, "cuda", {}, lambda: {"Llama"}, "it is not installed"),
        (True, "cpu", {}, lambda: {"Llama"}, "it is chosen on a GPU only, and the device is cpu"),
        (True, "mps", {}, lambda: {"Llama"}, "it is chosen on a GPU only, and the device is mps"),
        (True, "cuda", {"device_map": "auto"}, lambda: {"Llama"}, "it does not take --device_map auto"),
        (True, "cuda", {"engine_backend": "slots"}, lambda: {"Llama"}, "it does not take --engine_backend slots"),
        (True, "cuda", {"adapter": "lora"}, lambda: {"Llama"}, "it does not take --adapter lora"),
        (True, "cuda", {"quantization": "4bit"}, lambda: {"Llama"}, "it does not take --quantization 4bit"),
        (True, "cuda", {}, lambda: {"Mamba"}, "it does not support the architecture Llama"),
        (True, "cuda", {}, broken, "it cannot be imported (ImportError: libcudart is missing)"),
        (True, "cuda", {}, lambda: {"Llama"}, ""),
        (True, "cuda", {"quantization": "fp8"}, lambda: {"Llama"}, ""),
    ],
)
def test_auto_chooses_vllm_if_it_can_run_and_gives_the_reason_otherwise(
    installed, device, options, supported, reason, monkeypatch
):
    monkeypatch.setattr(choice, "_installed", lambda name: installed)
    monkeypatch.setattr(choice, "_supported_by_vllm", supported)
    chosen = choose_engine({**DEFAULTS, **options}, device, lambda: ["Llama"])
    assert chosen == ("huggingface" if reason else "vllm", reason)


@pytest.mark.parametrize(
    ("engine", "option", "value", "engines"),
    [
        ("huggingface", "tensor_parallel_size", 2, "vllm"),
        ("scripted", "vllm_args", ["a=1"], "vllm"),
        ("vllm", "device_map", "auto", "huggingface"),
        ("vllm", "engine_backend", "slots", "huggingface"),
        ("vllm", "adapter", "lora", "huggingface"),
        ("huggingface", "presence_penalty", 0.5, "openai and vllm"),
        ("auto", "max_cost", 1.0, "openai"),
    ],
)
def test_an_option_of_another_engine_is_refused(engine, option, value, engines):
    with pytest.raises(
        UserError, match=f"--{option} is for --engine {engines}, but the engine is {engine}; "
    ) as caught:
        check_engine(engine, {**DEFAULTS, option: value})
    assert str(caught.value).endswith("leave it out") and str(caught.value).count("leave it out") == 1


@pytest.mark.parametrize(
    ("engine", "option", "value"),
    [("auto", "vllm_args", ["a=1"]), ("auto", "presence_penalty", 1.0), ("vllm", "frequency_penalty", 1.0),
     ("openai", "max_cost", 1.0), ("scripted", "engine_backend", "slots"), ("openai", "attn_implementation", "sdpa")],
)  # fmt: skip
def test_an_option_that_the_engine_supports_or_ignores_is_accepted(engine, option, value):
    check_engine(engine, {**DEFAULTS, option: value})


def test_the_message_names_the_engine_that_auto_chose():
    with pytest.raises(UserError, match=r"but the engine is huggingface, as --engine auto chose \(not vllm: no GPU\)"):
        check_engine("huggingface", {"tensor_parallel_size": 2}, "not vllm: no GPU")
