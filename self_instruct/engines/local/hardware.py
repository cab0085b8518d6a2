"""Describe the devices that hold a model and this process's peak memory, and keep freed memory for the next step."""

import ctypes
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from self_instruct.engines.base import Hardware

# Parameters of mallopt(3). If more memory than M_TRIM_THRESHOLD is free at the top of the heap, it is returned to the system.
# M_MMAP_MAX limits the number of allocations that are mapped separately, and unmapped when they are freed.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEPT_BYTES = 1 << 30


def hardware_of(model: Any) -> Hardware:
    """Return the devices that hold the model's parameters, or the CPU."""
    devices = {parameter.device for parameter in model.parameters()}
    devices = {device for device in devices if device.type not in ("cpu", "meta")}
    if not devices:
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return Hardware("CPU", 0, taken, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    kind = next(iter(devices)).type
    library = getattr(torch, kind)
    if not hasattr(library, "get_device_properties"):
        return Hardware(kind, len(devices), library.driver_allocated_memory(), library.recommended_max_memory())
    described = [library.get_device_properties(device) for device in devices]
    taken = sum(library.max_memory_reserved(device) for device in devices)
    return Hardware(described[0].name, len(devices), taken, sum(item.total_memory for item in described))


def describe_hardware(model: Any, quantization: str | None) -> str:
    """Return a text that is the same where the model should be equally fast: devices, threads of a CPU, dtype, quantization."""
    hardware = hardware_of(model)
    devices = [f"{hardware.devices} x {hardware.name}" if hardware.devices > 1 else hardware.name]
    if not hardware.devices:
        devices = [_cpu_name(), f"{torch.get_num_threads()} threads"]
    return ", ".join([*devices, str(model.dtype).removeprefix("torch."), *([quantization] if quantization else [])])


def _cpu_name(info: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = info.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def keep_freed_memory() -> None:
    """Make glibc keep up to 1 GiB of freed memory; do nothing with other C libraries.

    By default, glibc returns the memory of each step's tensors to the system, which must clear new pages for the next step.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MMAP_MAX, 0)
