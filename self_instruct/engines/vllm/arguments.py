"""Map our options to vLLM's engine arguments, our sampling to its sampling parameters, and processes to devices.

This module does not import vLLM. It refuses options that vLLM does not support before a model is loaded.
"""

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from self_instruct.config.suggestions import nearest
from self_instruct.engines.base import Sampling
from self_instruct.engines.local.placement import Machine
from self_instruct.errors import UserError
from self_instruct.user_files import MOST_EXACT, load_yaml

STREAM_INTERVAL = 16
"""vLLM returns the new tokens of a request in groups of this size, so throughput is measured in such groups, too."""
_SET_BY = MappingProxyType(
    {
        "model": "--model_name_or_path", "revision": "--model_revision", "trust_remote_code": "--trust_remote_code",
        "dtype": "--dtype", "quantization": "--quantization", "max_model_len": "--max_length",
        "max_num_seqs": "--request_batch_size", "gpu_memory_utilization": "--gpu_memory_utilization",
        "tensor_parallel_size": "--tensor_parallel_size", "pipeline_parallel_size": "--pipeline_parallel_size",
        "data_parallel_size": "--num_processes of accelerate launch",
    }
)  # fmt: skip
_OURS = ("tokenizer", "generation_config", "skip_tokenizer_init", "stream_interval")
_SMALLEST_BATCH = 4096


@dataclass(frozen=True)
class VllmOptions:
    """The options for vLLM's engine, under this program's names; `arguments` are those of --vllm_args."""

    dtype: str = "auto"
    quantization: str | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    request_batch_size: int | None = None
    arguments: tuple[str, ...] = ()

    @property
    def devices(self) -> int:
        """The number of devices of one engine."""
        return self.tensor_parallel_size * self.pipeline_parallel_size


def engine_arguments(options: VllmOptions, longest: int | None, on_cpu: bool) -> dict[str, Any]:
    """Return vLLM's engine arguments, without the model. `longest` limits the tokens of a prompt and its completion."""
    if options.quantization in ("4bit", "8bit"):
        raise UserError(
            f"--quantization {options.quantization} is for --engine huggingface; vLLM has its own names, such as "
            "bitsandbytes or fp8"
        )
    arguments: dict[str, Any] = {
        "dtype": options.dtype,
        "quantization": options.quantization,
        "tensor_parallel_size": options.tensor_parallel_size,
        "pipeline_parallel_size": options.pipeline_parallel_size,
        "max_model_len": longest,
        "max_num_seqs": options.request_batch_size,
        "gpu_memory_utilization": options.gpu_memory_utilization,
    }
    arguments = {name: value for name, value in arguments.items() if value is not None}
    # The model's own generation defaults must not decide a completion. Prompts share prefixes.
    arguments |= {"generation_config": "vllm", "enable_prefix_caching": True, "stream_interval": STREAM_INTERVAL,
                  "disable_log_stats": True}  # fmt: skip
    if on_cpu:
        # On a CPU, compiling takes minutes, and a request with a seed fails if its prompt is read in chunks.
        arguments |= {"enforce_eager": True, "enable_chunked_prefill": False,
                      "max_num_batched_tokens": max(longest or 0, _SMALLEST_BATCH)}  # fmt: skip
    return arguments


def parse_arguments(words: Sequence[str], known: Collection[str]) -> dict[str, Any]:
    """Return the engine arguments of --vllm_args, KEY=VALUE with the value as in YAML. `known` are vLLM's names."""
    found: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        name = name.lstrip("-").replace("-", "_")
        if not sign or not name:
            raise UserError(f"--vllm_args {word}: must be KEY=VALUE, such as kv_cache_dtype=fp8")
        if option := _SET_BY.get(name):
            raise UserError(f"--vllm_args {word}: use {option} instead")
        if name in _OURS:
            raise UserError(f"--vllm_args {word}: this program sets {name} itself; leave it out")
        if name not in known:
            raise UserError(f"--vllm_args {word}: vLLM has no engine argument {name}{nearest(name, known)}")
        if name in found:
            raise UserError(f"--vllm_args gives {name} twice; give it once")
        try:
            found[name] = load_yaml(text)
        except ValueError as error:
            raise UserError(f"--vllm_args {word[:300]}: the value is not YAML ({str(error)[:300]})") from None
        if isinstance(value := found[name], int | float) and not abs(value) <= MOST_EXACT:
            raise UserError(f"--vllm_args {word[:300]}: must be a number between -2**53 and 2**53")
    return found


def sampling_parameters(sampling: Sampling, seed: str, end_tokens: Collection[int]) -> dict[str, Any]:
    """Return vLLM's sampling parameters for a request, without stop texts: they must be ignored inside a thought, and vLLM
    does not recognise thoughts.
    """
    return {
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8]) >> 1,
        "stop_token_ids": sorted(end_tokens),
        "detokenize": False,
    }


def choose_devices(options: VllmOptions, machine: Machine, local_rank: int) -> list[str]:
    """Return the devices of a process among those that it sees; none on a CPU.

    Raises UserError if the processes of the machine do not share its devices evenly.
    """
    each, visible = options.devices, machine.visible_devices
    if machine.kind == "cpu":
        return []
    product = f"--tensor_parallel_size {options.tensor_parallel_size}"
    if options.pipeline_parallel_size > 1:
        product += f" times --pipeline_parallel_size {options.pipeline_parallel_size}"
    needed, fitting = each * machine.processes_here, len(visible) // each
    if machine.visibility_variable and len(visible) == each:
        return list(visible)  # a scheduler shows each process its own devices
    machines = math.ceil(machine.processes / machine.processes_here)
    if needed > len(visible) or len(visible) % each:
        number = f"{fitting * machines}" + (f", for {machines} such machines" if machines > 1 else "")
        advice = f"start at most --num_processes {number}"
        if len(visible) % each:
            advice = f"use a number of devices per process that divides {len(visible)}"
        raise UserError(
            f"{machine.processes_here} processes were started on this machine, and each needs {each} devices ({product}): "
            f"{needed} in all, but this process sees {len(visible)}; {advice}"
        )
    return list(visible[local_rank * each : (local_rank + 1) * each])
