"""Decide where a model's weights are placed and in which precision, and refuse options that cannot be combined.

bitsandbytes quantises, and transformers places weights on several devices. Checks use only the configuration and the
machine, so that an impossible combination is refused before weights are read.
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
# Variables that restrict the devices of a process; a scheduler may set another value for each process.
_VISIBILITY_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """The options for placement; the defaults are one device and unchanged weights."""

    dtype: str = "auto"
    attn_implementation: str | None = None
    quantization: str | None = None
    device_map: str | None = None


@dataclass(frozen=True)
class Machine:
    """This machine: its devices, the launch's generating `processes`, those on this machine (`processes_here`), and the
    installed optional packages.

    `kind` is the type of device. `visible_devices` are the names of the devices that this process sees;
    `visibility_variable` is the environment variable that restricts them, if one does.
    """

    kind: str
    devices: int = 1
    processes: int = 1
    processes_here: int = 1
    packages: frozenset[str] = frozenset()
    visible_devices: tuple[str, ...] = ()
    visibility_variable: str | None = None

    @classmethod
    def here(cls, processes: int) -> "Machine":
        """Return this machine, in a launch of this many generating processes."""
        import torch

        devices = max(1, torch.accelerator.device_count())
        variable = next((name for name in _VISIBILITY_VARIABLES if os.environ.get(name)), None)
        visible = os.environ[variable].split(",")[:devices] if variable else map(str, range(devices))
        names = {"bitsandbytes", *(name for group in _FLASH_PACKAGES.values() for name in group)}
        return cls(
            device().type,
            devices,
            processes,
            min(processes, processes_here()),
            frozenset(name for name in names if importlib.util.find_spec(name)),
            tuple(visible),
            variable,
        )

    @property
    def one_device_variable(self) -> str | None:
        """The variable that restricts this process to one device. Other processes may see the same device or another one."""
        return self.visibility_variable if self.devices == 1 else None


def check(placement: Placement, machine: Machine, config: Any) -> None:
    """Raise `UserError` with the first reason why a model with this configuration cannot be placed in this way."""
    for wrong, reason in _rules(placement, machine, config):
        if wrong:
            raise UserError(reason)
    if _has_too_few_devices(machine) and os.environ.get("LOCAL_RANK", "0") == "0":
        _log.warning(
            "%d processes were started on this machine, and %s shows this process 1 %s device. If all processes see the same "
            "device, their models share its memory and its time; in that case, start 1 process: --num_processes 1.",
            machine.processes_here, machine.one_device_variable, machine.kind,
        )  # fmt: skip


def _has_too_few_devices(machine: Machine) -> bool:
    return machine.kind != "cpu" and machine.processes_here > machine.devices


def _rules(placement: Placement, machine: Machine, config: Any) -> list[tuple[bool, str]]:
    """Return each invalid combination and its message."""
    bits, attention = placement.quantization, placement.attn_implementation or ""
    flash = attention in _FLASH_PACKAGES
    packages = _FLASH_PACKAGES.get(attention, set())
    machines = math.ceil(machine.processes / machine.processes_here)
    fitting = f"{machine.devices * machines}" + (f", for {machines} such machines" if machines > 1 else "")
    return [
        (placement.device_map is not None and machine.processes > 1,
         f"--device_map {placement.device_map} gives one process all devices, but {machine.processes} were started; start "
         "one process, or leave the option out so that each process has a device of its own"),
        (bits not in (None, "4bit", "8bit"),
         f"--quantization is '{bits}', but --engine huggingface has 4bit and 8bit; other names are for --engine vllm"),
        (bool(bits) and "bitsandbytes" not in machine.packages,
         f"--quantization {bits} needs the package bitsandbytes: {install('quantization')}"),
        (bool(bits) and placement.dtype == "float32",
         f"--quantization {bits} with --dtype float32 would compute in single precision with weights of {bits}; use "
         "bfloat16, float16 or auto"),
        (bool(bits) and getattr(config, "quantization_config", None) is not None,
         f"--quantization is {bits}, but the model's weights are quantised already; leave the option out"),
        (_has_too_few_devices(machine) and not machine.one_device_variable,
         f"{machine.processes_here} processes were started on this machine, but it has {machine.devices} {machine.kind} "
         f"device{'s' * (machine.devices > 1)}, and each process needs its own; start at most: "
         f"--num_processes {fitting}"),
        (flash and machine.kind == "cpu",
         f"--attn_implementation {attention} needs a GPU, and this process has none; use sdpa, or leave it out"),
        (flash and not machine.packages & packages,
         f"--attn_implementation {attention} needs one of the packages {', '.join(sorted(packages))}, and none is installed; "
         "install one, or use sdpa"),
        (flash and placement.dtype == "float32",
         f"--attn_implementation {attention} computes in half precision only; use --dtype bfloat16 or float16, or sdpa"),
    ]  # fmt: skip


def device() -> Any:
    """Return the accelerator of this process's local rank, or the CPU."""
    import torch

    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return torch.device("cpu")
    return torch.device(kind.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def processes_here() -> int:
    """Return the number of processes of the launch on this machine, from the launcher's variables."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def loading_options(placement: Placement, stored: Any = None) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for this placement; without a `device_map`, the caller moves the model.

    `stored` is the data type that the model's configuration names, if any.
    """
    options: dict[str, Any] = {
        "dtype": _dtype(placement, stored),
        "attn_implementation": placement.attn_implementation,
    }
    if placement.device_map:
        options["device_map"] = placement.device_map
    if placement.quantization:
        from transformers import BitsAndBytesConfig

        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns about every layer that it casts
        options["quantization_config"] = (
            BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=options["dtype"])
            if placement.quantization == "4bit"
            else BitsAndBytesConfig(load_in_8bit=True)
        )
        options.setdefault("device_map", {"": device()})
    return options


def _dtype(placement: Placement, stored: Any) -> Any:
    import torch

    from self_instruct.engines.local.packing import multiplies_bfloat16

    if placement.dtype != "auto":
        return getattr(torch, placement.dtype)
    if placement.quantization:
        supports_bfloat16 = device().type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if supports_bfloat16 else torch.float16
    if device().type != "cpu":
        return "auto"
    # Half precision is slower than single on most CPUs, and sampling from it is coarser.
    return torch.bfloat16 if stored == torch.bfloat16 and multiplies_bfloat16() else torch.float32
