"""The devices that hold a model, and the memory that this process has taken at most."""

import os
import resource
import sys
from typing import Any

import torch

from self_instruct.engines.base import Hardware


def hardware_of(model: Any) -> Hardware:
    """The devices that hold the model's parameters, or the CPU."""
    places = {parameter.device for parameter in model.parameters()}
    places = {place for place in places if place.type not in ("cpu", "meta")}
    if not places:
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return Hardware("CPU", 0, taken, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    kind = next(iter(places)).type
    library = getattr(torch, kind)
    if not hasattr(library, "get_device_properties"):
        return Hardware(kind, len(places), library.driver_allocated_memory(), library.recommended_max_memory())
    described = [library.get_device_properties(place) for place in places]
    taken = sum(library.max_memory_reserved(place) for place in places)
    return Hardware(described[0].name, len(places), taken, sum(item.total_memory for item in described))
