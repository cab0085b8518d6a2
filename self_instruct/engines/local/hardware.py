"""Describe the devices that hold a model, and this process's peak memory."""

import os
import resource
import sys
from typing import Any

import torch

from self_instruct.engines.base import Hardware


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
