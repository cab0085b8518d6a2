"""Choose the engine for `--engine auto`, and refuse options that the chosen engine does not support.

`auto` chooses vLLM if it is installed, a GPU is present and vLLM supports the model's architecture; otherwise it chooses this
project's own engine, whose back-end (local/backend.py) also depends on the device.
"""

import importlib.metadata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.errors import UserError

_DEFAULTS = {**vars(ModelOptions()), **vars(SamplingOptions()), **vars(EndpointOptions())}
_LOCAL, _VLLM, _SERVER = "huggingface", "vllm", "openai"
_ENGINES_WITH = {
    "engine_backend": ((_LOCAL,), ""),
    "attn_implementation": ((_LOCAL,), "vLLM chooses its attention; --vllm_args attention_backend=... changes it"),
    "device_map": ((_LOCAL,), "use --tensor_parallel_size"),
    "adapter": ((_LOCAL,), "merge it into the model, and give the merged folder as --model_name_or_path"),
    "tensor_parallel_size": ((_VLLM,), "use --device_map auto"),
    "pipeline_parallel_size": ((_VLLM,), "use --device_map auto"),
    "gpu_memory_utilization": ((_VLLM,), "use --request_batch_size"),
    "vllm_args": ((_VLLM,), ""),
    "presence_penalty": ((_SERVER, _VLLM), "use --repetition_penalty"),
    "frequency_penalty": ((_SERVER, _VLLM), "use --repetition_penalty"),
    "constrain": ((_LOCAL, _VLLM, _SERVER), ""),
    "tokenizer_name_or_path": ((_SERVER,), "put its files into the folder of --model_name_or_path"),
    "max_usage_tokens": ((_SERVER,), "use --max_tokens"),
    "max_cost": ((_SERVER,), "use --max_tokens or --max_hours"),
    "price_per_million_tokens": ((_SERVER,), "use --gpu_hour_price with --plan"),
}
"""The engines that support an option, and advice for users of another engine, if there is a replacement."""
_LOADING_OPTIONS = {name for name, (engines, _) in _ENGINES_WITH.items() if engines == (_LOCAL,)}
"""Options for loading a local model, which scripts and servers ignore."""


def check_engine(engine: str, options: Mapping[str, Any], why: str = "") -> None:
    """Raise UserError for an option that the engine does not support. `why` says why `auto` chose the engine.

    For "auto" itself, accept an option if one of the engines that `auto` can choose supports it.
    """
    candidates = {_LOCAL, _VLLM} if engine == "auto" else {engine}
    for name, (engines, advice) in _ENGINES_WITH.items():
        if options.get(name, _DEFAULTS[name]) == _DEFAULTS[name] or candidates & set(engines):
            continue
        if name in _LOADING_OPTIONS and engine != _VLLM:
            continue
        reason = f", as --engine auto chose ({why})" if why else ""
        instead = f"{advice}, or leave it out" if advice else "leave it out"
        raise UserError(
            f"--{name} is for --engine {' and '.join(engines)}, but the engine is {engine}{reason}; {instead}"
        )


def choose_engine(
    options: Mapping[str, Any], device: str, architectures: Callable[[], Sequence[str]]
) -> tuple[str, str]:
    """Return the engine for `--engine auto` on this type of device, and the reason against vLLM (empty if it is vLLM).

    `architectures` reads the names of the model's classes from its configuration.
    """
    reason = _vllm_obstacle(options, device)
    if reason is None:
        reason = _architecture_obstacle(architectures(), _supported_by_vllm)
    return (_LOCAL, reason) if reason else (_VLLM, "")


def _vllm_obstacle(options: Mapping[str, Any], device: str) -> str | None:
    if not _installed("vllm"):
        return "it is not installed"
    if device != "cuda":
        return f"it is chosen on a GPU only, and the device is {device}"
    given = [name for name in sorted(_LOADING_OPTIONS) if options.get(name, _DEFAULTS[name]) != _DEFAULTS[name]]
    if options.get("quantization") in ("4bit", "8bit"):
        given.append("quantization")
    return f"it does not take --{given[0]} {options[given[0]]}" if given else None


def _architecture_obstacle(architectures: Sequence[str], supported: Callable[[], Collection[str]]) -> str | None:
    try:
        known = supported()
    except Exception as error:  # an incompatible torch or driver can cause any exception
        return f"it cannot be imported ({type(error).__name__}: {error})"
    if known and set(architectures) & set(known):
        return None
    return f"it does not support the architecture {', '.join(architectures) or 'of the model'}"


def _supported_by_vllm() -> Collection[str]:
    from vllm import ModelRegistry

    return ModelRegistry.get_supported_archs()


def _installed(name: str) -> bool:
    """Return whether a package is installed. Looking for the module is not enough: vLLM's CPU build has the same one."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
