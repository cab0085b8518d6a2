"""Compute how many rows fit into memory.

The cache size per token is measured with two short texts rather than derived from the configuration, so it is right for any
attention (grouped, multi-query, latent, tensor-parallel) and any quantization.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from self_instruct.engines.local.hardware import describe_hardware
from self_instruct.engines.local.placement import processes_here
from self_instruct.engines.local.row_search import BatchSize, RowSearch
from self_instruct.engines.local.slots import READ_TOKENS
from self_instruct.errors import UserError

ASSUMED_PROMPT = 2048
USABLE = 0.8
MOST_ROWS, MOST_ROWS_ON_CPU = 256, 16
"""The most rows of a batch. With many rows, arithmetic limits a step rather than reading the weights, so more rows gain little.
256 is an assumption: it was not measured on a GPU.
"""
MOST_SEARCHED_ROWS = 1024
"""The most rows that a search tries on a GPU: by default, no more requests are in flight (--horizon)."""
_MEASURED_TOKENS = (8, 16)
# Sampling holds several copies of a row's logits in single precision, and on some paths ids of 8 bytes.
_BYTES_A_LOGIT = 64
# Hidden states and MLP activations that are alive at the same time while a layer reads a prompt.
_HIDDEN_STATES, _INNER_STATES = 8, 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheSize:
    """Bytes of cache per token of a row, and per row regardless of its length (0 for ordinary caches)."""

    per_token: int
    per_row: int


def longest_row(context_length: int | None, max_length: int | None, max_new_tokens: int) -> int:
    """Return the tokens to reserve per row: the least of the context, `max_length`, and 2048 plus the new tokens."""
    limits = (context_length, max_length, ASSUMED_PROMPT + max_new_tokens)
    return min(limit for limit in limits if limit is not None)


def choose_rows(model: Any, longest: int, found: int | None = None, search: bool = False) -> int:
    """Return how many rows of `longest` tokens fit into memory: 1 to 256, or to 16 on a CPU.

    At most `found`, the rows that an earlier search has found; with `search`, the most that a search may try: 1024 on a GPU.
    Raises UserError if not even one fits.
    """
    sizes = measure_cache(model)
    rows = MOST_ROWS_ON_CPU if model.device.type == "cpu" else MOST_SEARCHED_ROWS if search else MOST_ROWS
    rows = min(found, MOST_SEARCHED_ROWS) if found else rows
    for device, size in sizes.items():
        free, least = free_bytes(device), _bytes_for_one_row(model, size, longest)
        if least > free:
            raise UserError(
                f"one request of {longest} tokens needs {_gb(least)} on {device} in addition to the model, but only "
                f"{_gb(free)} are free; lower --max_new_tokens or --max_length, use --quantization 4bit, or use more devices "
                "with --device_map auto"
            )
        while rows > 1 and memory_of(model, size, rows, longest) > USABLE * free:
            rows -= 1
    if os.environ.get("LOCAL_RANK", "0") == "0":
        taken = rows * sum(size.per_token * longest + size.per_row for size in sizes.values())
        how = "from 1 to " if search else "as a pilot on this hardware has found, " if found else ""
        _log.info("Rows: %s%d, %s of cache for %d tokens each.", how, rows, _gb(taken), longest)
    return rows


def plan_rows(
    model: Any, longest: int, batch_size: BatchSize, quantization: str | None
) -> tuple[int, RowSearch | None]:
    """Return the number of rows of `longest` tokens to generate together, and the search for a better one if it is wanted.

    Raises UserError if not even one fits into memory.
    """
    if batch_size.given:
        return batch_size.given, None
    hardware = describe_hardware(model, quantization)
    if not batch_size.search:
        return choose_rows(model, longest, batch_size.found.get(hardware)), None
    most = choose_rows(model, longest, search=True)
    return min(most, MOST_ROWS), RowSearch(most, hardware)


def memory_of(model: Any, size: CacheSize, rows: int, longest: int) -> float:
    """Return the peak memory in bytes, without the model, of generating `rows` rows with the slots back-end.

    It consists of the caches and logits of all rows, the activations for reading a prompt, two copies of the prompts that are
    read together, and three copies of one layer, which joining rows of different lengths needs.
    """
    row = size.per_token * longest + size.per_row
    joined = 2 * size.per_token * min(rows * longest, READ_TOKENS + longest)
    copies = 3 * rows * row / model.config.get_text_config().num_hidden_layers
    return _bytes_for_one_row(model, size, longest) + (rows - 1) * (row + _logit_bytes(model)) + joined + copies


def measure_cache(model: Any) -> dict[torch.device, CacheSize]:
    """Measure the model's cache size on each device."""
    short, long = (_cache_bytes(model, tokens) for tokens in _MEASURED_TOKENS)
    sizes = {}
    for device, held in long.items():
        per_token = math.ceil((held - short.get(device, 0)) / (_MEASURED_TOKENS[1] - _MEASURED_TOKENS[0]))
        sizes[device] = CacheSize(per_token, max(0, held - per_token * _MEASURED_TOKENS[1]))
    return sizes


def free_bytes(device: torch.device) -> int:
    """Return this process's share of the free bytes of a device."""
    if device.type == "cpu":
        return main_memory() // processes_here()
    library = getattr(torch, device.type)
    torch.accelerator.empty_cache()
    if hasattr(library, "mem_get_info"):
        free = library.mem_get_info(device)[0]
    else:  # Apple GPUs use main memory and recommend a maximum
        free = library.recommended_max_memory() - library.driver_allocated_memory()
    return free // math.ceil(processes_here() / torch.accelerator.device_count())


def main_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the free bytes of main memory: of the machine, or less if the process's control group has a lower limit.

    Containers and Slurm jobs have control groups.
    """
    return max(0, min([psutil.virtual_memory().available, *_left_in_groups(proc, groups)]))


def _left_in_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Yield the bytes left in the process's control group and its parents, for both versions of the interface."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = top / path.strip("/")
        while True:
            try:
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
                yield limit - used + int(stat.get(names[2], 0))
            except (OSError, ValueError):  # this group does not exist, or has no limit ("max")
                pass
            if folder == top:
                break
            folder = folder.parent


def _cache_bytes(model: Any, tokens: int) -> dict[torch.device, int]:
    ids = torch.zeros(1, tokens, dtype=torch.long, device=model.device)
    with torch.inference_mode():
        cache = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True).get("past_key_values")
    held: dict[torch.device, int] = {}
    for tensor in _tensors(cache):
        held[tensor.device] = held.get(tensor.device, 0) + tensor.numel() * tensor.element_size()
    return held


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (Cache, CacheLayerMixin)):
        yield from _tensors(vars(value))
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _logit_bytes(model: Any) -> int:
    return model.config.get_text_config().vocab_size * _BYTES_A_LOGIT


def _bytes_for_one_row(model: Any, size: CacheSize, tokens: int) -> int:
    """Return the bytes that one row needs: its cache, its logits, and the activations for reading its prompt."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    states = tokens * (_HIDDEN_STATES * config.hidden_size + _INNER_STATES * inner) * model.dtype.itemsize
    return size.per_token * tokens + size.per_row + _logit_bytes(model) + states


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
