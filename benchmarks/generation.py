"""Generation speed of the back-ends on the same work in one run: python benchmarks/generation.py [--requests 64] [--rows 16]

Random weights, prompts of some 500 tokens that share the first half, log-normal output lengths (mean 155, 20 to 400), tokens
sampled with top_p 0.95. On an accelerator the models have the shape of StarCoder2, with 1 and 7 billion parameters in bfloat16;
on a CPU, they are a GPTBigCode and a Llama of about 30 million parameters in float32. The methods:

- `generate`, one prompt at a time, on the first quarter of the requests;
- `generate` in left-padded batches of prompts of similar length; a batch runs until its longest output is done;
- our back-ends `paged`, if it can be used, and `slots`.

Columns: ratios of tokens/s to the first two methods; `idle` is the share of slots that drew no wanted token; `peak` is
memory; `roofline` is the time to read the weights and each row's keys and values once per step, at the measured speed
of a copy, as a share of the total time including prefill.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig
from workload import (
    QUICK,
    MeasuredRow,
    NeverReached,
    PeakMemory,
    Work,
    bandwidth,
    build_models,
    build_rows,
    bytes_read,
    synchronise,
)

from self_instruct.engines.local.active_request import EndRules
from self_instruct.engines.local.paged import PagedBackend
from self_instruct.engines.local.placement import device
from self_instruct.engines.local.slots import SlotBackend

Method = Callable[[list[MeasuredRow]], list[int]]
"""Completes rows and returns, for every step, how many of them drew a wanted token."""


@dataclass(frozen=True)
class Result:
    """A row of the table; memory in bytes."""

    tokens: int
    seconds: float
    steps: int
    idle: float
    peak: float
    roofline: float


def generate(model: Any, size: int) -> Method:
    """Run plain `generate` in batches of this size, without an engine."""

    def run(rows: list[MeasuredRow]) -> list[int]:
        ordered, drawn = sorted(rows, key=lambda row: len(row.prompt)), []
        for begin in range(0, len(rows), size):
            batch = ordered[begin : begin + size]
            width, longest = max(len(row.prompt) for row in batch), max(row.wanted for row in batch)
            padding = [width - len(row.prompt) for row in batch]
            ids = [[0] * pad + row.prompt for pad, row in zip(padding, batch, strict=True)]
            mask = [[0] * pad + [1] * (width - pad) for pad in padding]
            config = GenerationConfig(
                max_new_tokens=longest, do_sample=True, temperature=1.0, top_p=0.95, top_k=0, pad_token_id=0
            )
            place = model.device
            found = model.generate(
                torch.tensor(ids, device=place),
                attention_mask=torch.tensor(mask, device=place),
                generation_config=config,
            )
            for row, text in zip(batch, found[:, width:].tolist(), strict=True):
                row.tokens = text[: row.wanted]
            drawn += [sum(row.wanted > step for row in batch) for step in range(longest)]
        return drawn

    return run


def engine(backend: Any) -> Method:
    """Run one of our back-ends."""

    def run(rows: list[MeasuredRow]) -> list[int]:
        waiting, ended, drawn = list(rows), 0, list[int]()
        while ended < len(rows):
            ended += len(backend.advance(waiting, drawn.append, lambda: False))
        return drawn

    return run


def methods(model: Any, work: Work, rows: int) -> Iterator[tuple[str, int, Callable[[], Method]]]:
    """Yield name, rows at a time, and a function that prepares the method. `slots` is last, because it repacks weights."""
    rules = EndRules(frozenset(), NeverReached())  # type: ignore[arg-type]
    model.generation_config = GenerationConfig()
    yield "one at a time", 1, lambda: generate(model, 1)
    yield "static batches", rows, lambda: generate(model, rows)
    positions = model.config.get_text_config().max_position_embeddings
    yield "paged", rows, lambda: engine(PagedBackend(model, work.sampling, rules, rows, positions))
    yield "slots", rows, lambda: engine(SlotBackend(model, rules, rows))


def measure(
    prepare: Callable[[], Method], model: Any, requests: list[MeasuredRow], warm: list[MeasuredRow], slots: int,
    clock: Callable[[], float], copy_speed: float,
) -> Result:  # fmt: skip
    """Run a method on a few requests, and then, timed, on all."""
    memory = PeakMemory()
    run = prepare()
    run(warm)
    synchronise()
    begun = clock()
    drawn = run(requests)
    synchronise()
    seconds = clock() - begun
    tokens = sum(len(row.tokens) for row in requests)
    if tokens != sum(row.wanted for row in requests):
        raise RuntimeError("a method did not generate the wanted number of tokens for every request")
    roofline = bytes_read(model, requests, len(drawn)) / copy_speed / seconds
    return Result(tokens, seconds, len(drawn), 1 - sum(drawn) / (len(drawn) * slots), memory.bytes(), roofline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, help="number of requests [64; 256 on an accelerator; --quick: 8]")
    parser.add_argument("--rows", type=int, help="rows at a time [16; 64 on an accelerator; --quick: 4]")
    parser.add_argument("--quick", action="store_true", help="tiny models and short texts, to check that it runs")
    parser.add_argument("--cpu_time", action="store_true", help="measure CPU time, for a CPU that is shared")
    options = parser.parse_args()
    on_cpu = device().type == "cpu"
    requests = options.requests or (8 if options.quick else 64 if on_cpu else 256)
    rows = options.rows or (4 if options.quick else 16 if on_cpu else 64)
    clock = time.process_time if options.cpu_time else time.perf_counter
    work, speed = QUICK if options.quick else Work(), bandwidth()
    print(
        f"{torch.get_num_threads()} threads, {device()}, {requests} requests, {rows} rows, {speed / 1e9:.1f} GB/s copied"
    )
    print(f"{'model':<14} {'size':>7}  {'method':<15} {'rows':>4} {'tokens/s':>9} {'/ one':>6} {'/ static':>8}"
          f" {'steps':>6} {'idle':>5} {'peak MiB':>8} {'roofline':>8}")  # fmt: skip
    for name, model in build_models(options.quick):
        size = sum(parameter.numel() for parameter in model.parameters())
        speeds: list[float] = []
        for method, slots, prepare in methods(model, work, rows):
            number = max(4, requests // 4) if slots == 1 else requests
            try:
                found = measure(prepare, model, build_rows(work, number), build_rows(work, 2), slots, clock, speed)
            except (RuntimeError, ValueError) as error:
                if method != "paged":
                    raise
                print(f"paged is left out: {type(error).__name__}: {error}")
                continue
            speeds.append(found.tokens / found.seconds)
            ratios = [speeds[-1] / base for base in speeds[:2]]
            print(f"{name:<14} {size / 1e6:>6.1f}M  {method:<15} {slots:>4} {speeds[-1]:>9.1f} {ratios[0]:>6.2f}"
                  f" {ratios[-1] if len(ratios) > 1 else float('nan'):>8.2f} {found.steps:>6} {found.idle:>5.0%}"
                  f" {found.peak / 2**20:>8.0f} {found.roofline:>8.0%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
