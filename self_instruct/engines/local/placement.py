"""Where the weights of a model go and in which form, and which wishes of that kind do not go together.

Quantisation is bitsandbytes', placing on several devices and tensor parallelism are transformers' own. Knows configurations
and machines, not weights: what can be refused is refused before any are read.
"""

import importlib.util
import logging
import math
import os
from dataclasses import dataclass
from typing import Any

from self_instruct.errors import UserError, install

_FLASH_PACKAGES = {
    "flash_attention_2": {"flash_attn", "kernels"},
    "flash_attention_3": {"flash_attn_interface", "kernels"},
}
# Variables that say which devices a process may see; a scheduler may give each process another one.
_SHOWING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """What was asked for, by the names of the options; the defaults are one device and the weights as they are."""

    dtype: str = "auto"
    attn_implementation: str | None = None
    quantization: str | None = None
    device_map: str | None = None
    tensor_parallel_size: int = 1


@dataclass(frozen=True)
class Machine:
    """What there is: the kind of device, how many of it, the generating processes of the launch (and how many of them are
    here), the optional packages that are installed, whether transformers knows tensor parallelism, and the environment variable
    that shows this process one device only, if one does: then each process may have a device of its own, or all the same.
    """

    kind: str
    devices: int = 1
    processes: int = 1
    processes_here: int = 1
    packages: frozenset[str] = frozenset()
    knows_tensor_parallel: bool = True
    shown_one_by: str | None = None

    @classmethod
    def here(cls, processes: int) -> "Machine":
        """This machine, in a launch of so many generating processes."""
        import torch
        from transformers.distributed import DistributedConfig

        devices = max(1, torch.accelerator.device_count())
        names = {"bitsandbytes", *(name for group in _FLASH_PACKAGES.values() for name in group)}
        return cls(
            device().type,
            devices,
            processes,
            min(processes, processes_here()),
            frozenset(name for name in names if importlib.util.find_spec(name)),
            "tp_size" in getattr(DistributedConfig, "__dataclass_fields__", {}),
            next((name for name in _SHOWING if os.environ.get(name)), None) if devices == 1 else None,
        )


def check(placement: Placement, machine: Machine, config: Any) -> None:
    """Raises `UserError` with the first reason why a model of that configuration cannot be placed so."""
    for wrong, reason in _rules(placement, machine, config):
        if wrong:
            raise UserError(reason)
    if _crowded(machine) and os.environ.get("LOCAL_RANK", "0") == "0":
        _log.warning(
            "%d processes were started on this machine, and %s shows this one 1 %s device: if it is not another one for each "
            "process, their models share its memory and its time; then start 1 process with --num_processes.",
            machine.processes_here, machine.shown_one_by, machine.kind,
        )  # fmt: skip


def _crowded(machine: Machine) -> bool:
    return machine.kind != "cpu" and machine.processes_here > machine.devices


def _rules(placement: Placement, machine: Machine, config: Any) -> list[tuple[bool, str]]:
    """What does not go together, each with what to say of it."""
    size, bits, attention = placement.tensor_parallel_size, placement.quantization, placement.attn_implementation or ""
    parallel, spread = size > 1, placement.device_map is not None
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", None) or size
    kv_heads = getattr(text, "num_key_value_heads", None) or heads
    split = f"--tensor_parallel_size is {size}, but"
    flash = attention in _FLASH_PACKAGES
    packages = _FLASH_PACKAGES.get(attention, set())
    machines = math.ceil(machine.processes / machine.processes_here)
    fitting = f"{machine.devices * machines}" + (f", for {machines} such machines" if machines > 1 else "")
    return [
        (spread and parallel,
         f"--device_map and --tensor_parallel_size {size} are two ways to use several devices; give one of them"),
        (spread and machine.processes > 1,
         f"--device_map {placement.device_map} gives one process all devices, but {machine.processes} were started; start "
         "one process, or leave the option out so that each process has a device of its own"),
        (bool(bits) and parallel,
         f"--quantization {bits} and --tensor_parallel_size {size} do not go together: bitsandbytes cannot split quantised "
         "weights; use --device_map auto with one process, or leave one of them out"),
        (bool(bits) and "bitsandbytes" not in machine.packages,
         f"--quantization {bits} needs the package bitsandbytes: {install('quantization')}"),
        (bool(bits) and placement.dtype == "float32",
         f"--quantization {bits} with --dtype float32 would compute in single precision with weights of {bits}; use "
         "bfloat16, float16 or auto"),
        (bool(bits) and getattr(config, "quantization_config", None) is not None,
         f"--quantization is {bits}, but the model's weights are quantised already; leave the option out"),
        (parallel and machine.processes % size != 0,
         f"{split} {machine.processes} generating processes cannot be divided by it; start a multiple of {size}"),
        (_crowded(machine) and (parallel or not machine.shown_one_by),
         f"{machine.processes_here} processes were started on this machine, but it has {machine.devices} {machine.kind} "
         f"device{'s' * (machine.devices > 1)}, and each process needs one of its own; start so many at most: "
         f"--num_processes {fitting}"),
        (parallel and not machine.knows_tensor_parallel,
         f"{split} the installed transformers is too old for it; update it"),
        (parallel and not getattr(text, "base_model_tp_plan", None),
         f"{split} transformers has no plan for splitting a model of type {config.model_type}; use --device_map auto"),
        (parallel and heads % size != 0,
         f"{split} the model's {heads} attention heads cannot be divided by it; use a divisor of both"),
        (parallel and kv_heads % size != 0,
         f"{split} the model's {kv_heads} key-value heads cannot be divided by it; use a divisor of that number"),
        (flash and machine.kind == "cpu",
         f"--attn_implementation {attention} needs a GPU, and this process has none; use sdpa, or leave it out"),
        (flash and not machine.packages & packages,
         f"--attn_implementation {attention} needs one of the packages {', '.join(sorted(packages))}, and none is installed; "
         "install one, or use sdpa"),
        (flash and placement.dtype == "float32",
         f"--attn_implementation {attention} computes in half precision only; use --dtype bfloat16 or float16, or sdpa"),
    ]  # fmt: skip


def device() -> Any:
    """The accelerator of this process's local rank, or the CPU."""
    import torch

    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return torch.device("cpu")
    return torch.device(kind.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def processes_here() -> int:
    """How many processes of the launch share this machine, as the launcher says."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def loading_options(placement: Placement) -> dict[str, Any]:
    """The arguments of `from_pretrained` that place a model so. `device_map` is absent where it is to be moved afterwards."""
    options: dict[str, Any] = {"dtype": _dtype(placement), "attn_implementation": placement.attn_implementation}
    if placement.device_map:
        options["device_map"] = placement.device_map
    if placement.tensor_parallel_size > 1:
        from transformers.distributed import DistributedConfig

        options["distributed_config"] = DistributedConfig(tp_size=placement.tensor_parallel_size)
    if placement.quantization:
        from transformers import BitsAndBytesConfig

        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of every layer that it casts
        options["quantization_config"] = (
            BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=options["dtype"])
            if placement.quantization == "4bit"
            else BitsAndBytesConfig(load_in_8bit=True)
        )
        options.setdefault("device_map", {"": device()})
    return options


def _dtype(placement: Placement) -> Any:
    import torch

    if placement.dtype != "auto":
        return getattr(torch, placement.dtype)
    if placement.quantization:
        half = device().type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if half else torch.float16
    # Half precision is slower than single on most CPUs, and sampling from it is coarser.
    return torch.float32 if device().type == "cpu" else "auto"
