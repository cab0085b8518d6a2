"""Engine arguments, sampling parameters and devices for vLLM."""

from dataclasses import replace

import pytest

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.placement import Machine
from self_instruct.engines.vllm.arguments import (
    VllmOptions,
    choose_devices,
    engine_arguments,
    parse_arguments,
    sampling_parameters,
)
from self_instruct.errors import UserError

LAUGHS = ", ".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))])
"""YAML whose aliases stand for 100 million values."""
KNOWN = {"kv_cache_dtype", "max_num_batched_tokens", "compilation_config", "enforce_eager", "model", "max_model_len"}
EIGHT = Machine("cuda", 8, processes=8, processes_here=8, visible_devices=tuple("01234567"))


def test_engine_arguments_come_from_our_options_and_exclude_the_models_defaults():
    options = VllmOptions("bfloat16", "fp8", 2, 1, 0.8, 64)
    arguments = engine_arguments(options, 2048, on_cpu=False)
    assert arguments == {
        "dtype": "bfloat16", "quantization": "fp8", "tensor_parallel_size": 2, "pipeline_parallel_size": 1,
        "max_model_len": 2048, "max_num_seqs": 64, "gpu_memory_utilization": 0.8, "generation_config": "vllm",
        "enable_prefix_caching": True, "stream_interval": 16, "disable_log_stats": True,
    }  # fmt: skip
    assert "max_model_len" not in engine_arguments(VllmOptions(), None, on_cpu=False)


def test_on_a_cpu_prompts_are_read_in_one_piece_and_nothing_is_compiled():
    arguments = engine_arguments(VllmOptions(), 8192, on_cpu=True)
    assert arguments["enforce_eager"] and not arguments["enable_chunked_prefill"]
    assert arguments["max_num_batched_tokens"] == 8192


def test_quantization_names_of_the_local_engine_are_refused():
    with pytest.raises(UserError, match=r"--quantization 4bit is for --engine huggingface; .* bitsandbytes or fp8"):
        engine_arguments(VllmOptions(quantization="4bit"), 100, on_cpu=False)


def test_values_of_vllm_args_are_read_as_yaml():
    words = [
        "kv_cache_dtype=fp8",
        "--max-num-batched-tokens=8192",
        "enforce_eager=true",
        'compilation_config={"level": 3}',
    ]
    assert parse_arguments(words, KNOWN) == {
        "kv_cache_dtype": "fp8", "max_num_batched_tokens": 8192, "enforce_eager": True, "compilation_config": {"level": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kv_cash_dtype=fp8"], "vLLM has no engine argument kv_cash_dtype; did you mean kv_cache_dtype?"),
        (["kv_cache_dtype"], "must be KEY=VALUE"),
        (["=3"], "must be KEY=VALUE"),
        (["model=other"], "use --model_name_or_path instead"),
        (["max-model-len=3"], "use --max_length instead"),
        (["generation_config=auto"], "this program sets generation_config itself"),
        (["enforce_eager=1", "enforce_eager=0"], "gives enforce_eager twice"),
        (["kv_cache_dtype=[1"], "the value is not YAML"),
        ([f"kv_cache_dtype={'9' * 5000}"], "the value is not YAML (Exceeds the limit"),
        ([f"kv_cache_dtype={'9' * 400}"], "must be a number between -2**53 and 2**53"),
        (["kv_cache_dtype=.nan"], "must be a number between -2**53 and 2**53"),
        (["kv_cache_dtype=!!int x"], "the value is not YAML"),
        ([f"kv_cache_dtype={'[' * 1000}"], "the value is not YAML"),
        ([f"compilation_config={{{LAUGHS}}}"], "its aliases expand to more than 100,000 values"),
        (["kv_cache_dtype={a: 1, a: 2}"], "a is repeated"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_reason(words, message):
    with pytest.raises(UserError) as raised:
        parse_arguments(words, KNOWN)
    assert message in str(raised.value) and len(str(raised.value)) < 1000


def test_only_decimal_digits_are_a_number():
    assert parse_arguments(["kv_cache_dtype=1:30", "enforce_eager=0x10"], KNOWN) == {
        "kv_cache_dtype": "1:30", "enforce_eager": "0x10"
    }  # fmt: skip


def test_sampling_parameters_include_all_options_a_seed_per_request_and_all_end_tokens():
    sampling = Sampling(7, 0.5, 0.9, 40, 1.1, 0.02, presence_penalty=0.3, frequency_penalty=-0.4)
    found = sampling_parameters(sampling, "42:3", {5, 2})
    seed = found.pop("seed")
    assert found == {
        "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.02, "repetition_penalty": 1.1,
        "presence_penalty": 0.3, "frequency_penalty": -0.4, "stop_token_ids": [2, 5], "detokenize": False,
    }  # fmt: skip
    assert 0 <= seed < 2**63 and seed != sampling_parameters(sampling, "42:4", ())["seed"]
    assert seed == sampling_parameters(sampling, "42:3", ())["seed"]


def test_each_process_gets_its_own_devices():
    four = replace(EIGHT, processes=4, processes_here=4)
    found = [choose_devices(VllmOptions(tensor_parallel_size=2), four, rank) for rank in range(4)]
    assert found == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]
    assert choose_devices(VllmOptions(), EIGHT, 5) == ["5"]
    assert choose_devices(VllmOptions(), replace(EIGHT, kind="cpu", visible_devices=("0",)), 5) == []


def test_devices_that_a_scheduler_shows_one_process_are_not_divided_again():
    visible = replace(EIGHT, devices=1, visible_devices=("GPU-7f",), visibility_variable="CUDA_VISIBLE_DEVICES")
    assert choose_devices(VllmOptions(), visible, 3) == ["GPU-7f"]


@pytest.mark.parametrize(
    ("options", "machine", "message"),
    [
        (VllmOptions(tensor_parallel_size=4), EIGHT,
         "each needs 4 devices (--tensor_parallel_size 4): 32 in all, but this process sees 8; start at most "
         "--num_processes 2"),
        (VllmOptions(tensor_parallel_size=4), replace(EIGHT, processes=16),
         "start at most --num_processes 4, for 2 such machines"),
        (VllmOptions(tensor_parallel_size=3), replace(EIGHT, processes=1, processes_here=1),
         "use a number of devices per process that divides 8"),
        (VllmOptions(tensor_parallel_size=4, pipeline_parallel_size=4), replace(EIGHT, processes=1, processes_here=1),
         "(--tensor_parallel_size 4 times --pipeline_parallel_size 4): 16 in all, but this process sees 8; use a number of "
         "devices per process that divides 8"),
    ],
)  # fmt: skip
def test_processes_that_cannot_share_the_devices_evenly_are_refused_with_the_numbers(options, machine, message):
    with pytest.raises(UserError) as raised:
        choose_devices(options, machine, 0)
    assert message in str(raised.value)
