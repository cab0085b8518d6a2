"""Check whether a long run grows in memory or slows down: python benchmarks/soak.py [--minutes 30] [--rate 6]

Runs a whole launch with journal, filters and ROUGE-L. Its engine writes new tasks at a fixed rate and uses almost no
CPU, like a model on a GPU. Prints memory and CPU time per request as the pool grows, and at the end what the memory
holds. CPU time is reported because the machine may be shared.
"""

import argparse
import contextlib
import cProfile
import pstats
import random
import re
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import linear_regression
from typing import Any

import numpy as np

from self_instruct.engines.base import Completion, Request, timestamp
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation import recipe as recipes
from self_instruct.generation import run as launch
from self_instruct.generation.assembly import build_curator
from self_instruct.generation.config import Config, flatten, parse_arguments
from self_instruct.generation.judging import Curator
from self_instruct.generation.progress import Progress, resident
from self_instruct.generation.recipe import SeedRecipe
from self_instruct.generation.signals import Interruption
from self_instruct.generation.workers import Generators
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.records import Record
from self_instruct.runs import manifest
from self_instruct.runs.funnel import Funnel

ROOT = Path(__file__).resolve().parents[1]
NEAR_COPIES, BROKEN = 0.1, 0.05  # shares of the blocks
WORDS = [f"word{at}" for at in range(20_000)]
ZIPF = list(accumulate(1 / (at + 1) for at in range(len(WORDS))))
FIRST = 2_000  # below this number of records, memory still grows from one-time loading


class Clock:
    """CPU seconds of this process, in total and by part."""

    def __init__(self) -> None:
        self.parts = {"novelty": 0.0, "engine": 0.0}

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, with its time added to a part."""

        def call(*arguments: Any) -> Any:
            begun = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.parts[part] += time.process_time() - begun

        return call

    def read(self) -> dict[str, float]:
        """Return all parts so far, and `rest`."""
        return {**self.parts, "rest": time.process_time() - sum(self.parts.values())}


class PacedEngine:
    """An engine that answers this many requests per second in order, each with tasks computed from its index."""

    context_length: int | None = None
    capacity: int | None = None
    model_revision = "soak"

    def __init__(self, rate: float, clock: Clock, on_tokens: Callable[[int], None]) -> None:
        self._rate, self._on_tokens, self._pending = rate, on_tokens, deque[Request]()
        self._begun, self._answered, self._interrupted = time.monotonic(), 0, False
        self._write = clock.timed("engine", completion)

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """Return the number of words in the prompt."""
        return len(prompt.split()) + len(opening.split())

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests."""
        self._pending.extend(requests)

    def poll(self) -> list[Completion]:
        """Return the completions that are due; if there are none, wait for the next."""
        while not self._interrupted:
            due = int(self._rate * (time.monotonic() - self._begun)) - self._answered
            if due > 0:
                finished = [self._write(self._pending.popleft()) for _ in range(min(due, len(self._pending)))]
                self._answered += len(finished)
                self._on_tokens(sum(item.completion_tokens for item in finished))
                return finished
            time.sleep((self._answered + 1) / self._rate - (time.monotonic() - self._begun) + 1e-4)
        return []

    def interrupt(self) -> None:
        """Stop; no request is active between two polls."""
        self._interrupted = True

    def close(self) -> None:
        """Drop pending requests."""
        self._pending.clear()


def completion(request: Request) -> Completion:
    """Return the continuation of a prompt's open block: two to four tasks."""
    number = int(re.match(r"\d+", request.opening)[0])  # type: ignore[index]
    blocks = []
    for at, (instruction, output, broken) in enumerate(tasks(request.index), start=number):
        block = INSTRUCTION_OUTPUT.render(Record("", instruction, "", output), at)
        blocks.append(block.replace("Output:", "Result:") if broken else block)
    text = "".join(blocks).removeprefix(request.opening)
    words = len(text.split())
    return Completion(request.index, text, "stop", len(request.prompt.split()), words, created_at=timestamp())


def tasks(index: int) -> Iterator[tuple[str, str, bool]]:
    """Yield the tasks of a request as instruction, output and whether the block is broken; some repeat an earlier task."""
    rng = random.Random(index)
    for _ in range(rng.randint(2, 4)):
        words = rng.choices(WORDS, cum_weights=ZIPF, k=max(6, round(rng.lognormvariate(2.7, 0.4))))
        fate = rng.random()
        if fate < NEAR_COPIES and index:
            words = next(tasks(rng.randrange(index)))[0].rstrip(".").split()
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        output = " ".join(rng.choices(WORDS, cum_weights=ZIPF, k=rng.randint(20, 100)))
        yield " ".join(words).capitalize() + ".", output, NEAR_COPIES <= fate < NEAR_COPIES + BROKEN


@dataclass(frozen=True)
class Sample:
    """Measurements at a number of records: wall-clock seconds, CPU seconds by part, and bytes of memory."""

    records: int
    requests: int
    seconds: float
    processor: dict[str, float]
    memory: int


class Sampler(Progress):
    """Takes a sample each time that many records have been added."""

    def __init__(self, clock: Clock, every: int) -> None:
        super().__init__(10**9)
        self._clock, self._every, self.samples, self._table = clock, every, list[Sample](), sys.stdout

    def update(self, funnel: Funnel) -> None:
        """Take a sample if it is due; called after each decision on completions."""
        super().update(funnel)
        if funnel.accepted >= self._every * len(self.samples):
            taken = Sample(funnel.accepted, funnel.requests, time.monotonic(), self._clock.read(), resident())
            self.samples.append(taken)
            if len(self.samples) > 1:
                print(row(*self.samples[-2:]), file=self._table, flush=True)


def row(before: Sample, after: Sample) -> str:
    """Return the difference of two samples as a table row."""
    requests, took = after.requests - before.requests, after.seconds - before.seconds
    spent = [
        1e3 * (after.processor[part] - before.processor[part]) / requests for part in ("novelty", "engine", "rest")
    ]
    figures = [f"{requests / took:.2f}", *(f"{value:.2f}" for value in spent), f"{after.memory / 1e6:.1f}"]
    return f"| {after.records:,} | {after.requests:,} | " + " | ".join(figures) + " |"


def held(curator: Curator) -> dict[str, int]:
    """Return the bytes of the structures that grow with the pool."""
    records = list(curator.pool)
    texts = sum(sys.getsizeof(text) for record in records for text in (record.id, record.instruction, record.output))
    objects = sum(sys.getsizeof(record) + sys.getsizeof(vars(record)) for record in records)
    index = curator._novelty._rouge
    vocabulary = index._recent._vocabulary
    words = sys.getsizeof(vocabulary) + sum(map(sys.getsizeof, vocabulary)) + 32 * len(vocabulary)
    lists = 3 * 8 * len(records) + sys.getsizeof(index._ids)
    return {"texts of the records": texts, "record objects": objects, "index of ROUGE-L": arrays(index),
            "its vocabulary": words, "lists of ids and positions": lists}  # fmt: skip


def arrays(thing: Any) -> int:
    """Return the bytes of all NumPy arrays in an object."""
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    parts = thing if isinstance(thing, tuple | list) else vars(thing).values() if hasattr(thing, "__dict__") else ()
    return sum(arrays(part) for part in parts if not isinstance(part, str))


def report(samples: list[Sample], curator: Curator) -> None:
    """Print memory and speed at the end compared with the start."""
    settled = [sample for sample in samples if sample.records >= FIRST]
    if len(settled) < 8:
        print(f"\nToo few records beyond {FIRST:,} to compare; use a larger --minutes.")
        return
    records = [sample.records / 1000 for sample in settled]
    slope, _ = linear_regression(records, [sample.memory / 1e6 for sample in settled])
    print(
        f"\nMemory grew by {slope:.2f} MB per 1,000 records from {FIRST:,} records on. What grows, per 1,000 records:"
    )
    for name, size in held(curator).items():
        print(f"  {name:<26} {size / len(curator.pool) / 1e3:.2f} MB")
    quarter = (len(settled) - 1) // 4
    for name, (first, last) in {
        "start": (settled[0], settled[quarter]),
        "end": (settled[-1 - quarter], settled[-1]),
    }.items():
        requests = last.requests - first.requests
        spent = {part: 1e3 * (last.processor[part] - first.processor[part]) / requests for part in last.processor}
        rate = requests / (last.seconds - first.seconds)
        print(
            f"{name}, {first.records:,} to {last.records:,} records: {rate:.2f} requests/s by the clock; processor time a "
            f"request {spent['novelty']:.2f} ms novelty, {spent['rest']:.2f} ms all else, {spent['engine']:.2f} ms writing the "
            "same kind of text"
        )


def main() -> None:
    """Run a launch for some minutes, and print the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=6.0, help="requests per second")
    parser.add_argument("--every", type=int, default=1000, help="records between two rows")
    parser.add_argument("--profile", action="store_true", help="print the CPU time by function")
    options = parser.parse_args()
    clock = Clock()
    for method in ("nearest", "add"):
        setattr(RougeIndex, method, clock.timed("novelty", getattr(RougeIndex, method)))
    with tempfile.TemporaryDirectory() as folder:
        config = parse_arguments(
            ["--engine", "scripted", "--batch_dir", folder, "--seed_tasks_path", str(ROOT / "seeds/general.jsonl"),
             "--num_instructions_to_generate", str(10**9), "--max_hours", str(options.minutes / 60), "--horizon", "256"], "",
        )  # fmt: skip
        curator: list[Curator] = []
        recipes.build_curator = lambda *a, **k: curator.append(build_curator(*a, **k)) or curator[0]
        sampler = Sampler(clock, options.every)
        print("| records | requests | requests/s | novelty, ms | engine, ms | all else, ms | MB |")
        print("|--:|--:|--:|--:|--:|--:|--:|")
        profiler = cProfile.Profile()
        if options.profile:
            profiler.enable()
        begin(config, PacedEngine(options.rate, clock, sampler.step), sampler)
        profiler.disable()
        report(sampler.samples, curator[0])
        if options.profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def begin(config: Config, engine: PacedEngine, progress: Progress) -> None:
    """Run the launch."""
    recipe = SeedRecipe.of(config, INSTRUCTION_OUTPUT, ROOT / "instruction_io/prompt.txt")
    folder, interruption = Path(config.run.batch_dir or ""), Interruption()
    described = manifest.describe(
        flatten(config), INSTRUCTION_OUTPUT.name, model_revision="soak", **recipe.described()
    )
    with contextlib.redirect_stdout(sys.stderr):
        launch.launch(recipe, Generators(engine, engine), folder, described, progress, interruption)


if __name__ == "__main__":
    main()
