"""Training documents that look like the generator's real prompts, followed by what the model should write.

A document is a list of segments, each marked as trained or not: the model should follow header and seed tasks, not
memorise them. `RecordFormat` has the block format.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo_model.training.corpus.mixture import draw_task
from demo_model.training.corpus.task import Task
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, SEPARATOR, RecordFormat
from self_instruct.generation.prompts import read_header
from self_instruct.records import Record
from self_instruct.seeds import load_seeds

ROOT = Path(__file__).resolve().parents[3]
THREE_FIELD_SHARE = 0.3
PLAIN_TRIGGER_SHARE = 0.5
SEED_SHARE = 0.65
INPUT_SHARE = {2: 0.08, 3: 0.4}

TWO_FIELD_TRIGGERS = (
    ("Instruction", "Solution"),
    ("Task", "Solution"),
    ("Task", "Answer"),
    ("Request", "Answer"),
    ("Question", "Answer"),
    ("Problem", "Code"),
)
THREE_FIELD_TRIGGERS = (
    ("Task", "Input", "Solution"),
    ("Request", "Data", "Answer"),
    ("Problem", "Example", "Result"),
)


@dataclass(frozen=True)
class Segment:
    """A piece of a document; `trained` is whether the loss includes it."""

    text: str
    trained: bool


@dataclass(frozen=True)
class Sources:
    """The parts of documents that are not from the grammar: two prompt headers and the seed tasks."""

    two_field_header: str
    three_field_header: str
    seeds: tuple[Record, ...]


def load_sources(root: Path = ROOT) -> Sources:
    """Read prompts and seeds from the project."""
    return Sources(
        read_header(root / "instruction_io" / "prompt.txt"),
        read_header(root / "instruction_iio" / "prompt.txt"),
        tuple(load_seeds(root / "seeds" / "code.jsonl")),
    )


def prompt_head(header: str) -> str:
    """The beginning of a prompt, up to the first block."""
    return f"{header}\n{SEPARATOR}\n"


def record_of(task: Task) -> Record:
    return Record("", task.instruction, task.input, task.output)


def _draw_format(rng: random.Random) -> RecordFormat:
    """The two- or three-field format, half of the time with other trigger words."""
    three = rng.random() < THREE_FIELD_SHARE
    plain = INSTRUCTION_INPUT_OUTPUT if three else INSTRUCTION_OUTPUT
    if rng.random() < PLAIN_TRIGGER_SHARE:
        return plain
    if three:
        first, second, third = rng.choice(THREE_FIELD_TRIGGERS)
        return plain.with_triggers(instruction=first, input=second, output=third)
    first, last = rng.choice(TWO_FIELD_TRIGGERS)
    return plain.with_triggers(instruction=first, output=last)


def _draw_seeds(sources: Sources, rng: random.Random) -> list[Record]:
    return rng.sample(sources.seeds, rng.randint(1, 3)) if sources.seeds and rng.random() < SEED_SHARE else []


def draw_tasks(rng: random.Random, count: int, with_input: float) -> list[Task]:
    """Different tasks, no pair twice."""
    tasks: dict[tuple[str, str], Task] = {}
    while len(tasks) < count:
        task = draw_task(rng, rng.random() < with_input)
        tasks.setdefault(task.pair, task)
    return list(tasks.values())


def draw_document(sources: Sources, rng: random.Random) -> tuple[list[Segment], list[Task]]:
    """One document and the grammar tasks in it."""
    form = _draw_format(rng)
    header = sources.three_field_header if len(form.fields) == 3 else sources.two_field_header
    seeds = _draw_seeds(sources, rng)
    tasks = draw_tasks(rng, rng.randint(6, 12) - len(seeds), INPUT_SHARE[len(form.fields)])
    leading: Sequence[Task] = tasks[: rng.randint(0, 2)] if seeds else ()
    # As in real prompts, a mix of seeds and earlier outputs comes first, then new tasks.
    head: list[tuple[Record, bool]] = [(seed, False) for seed in seeds] + [(record_of(t), True) for t in leading]
    rng.shuffle(head)
    blocks = head + [(record_of(task), True) for task in tasks[len(leading) :]]
    segments = [Segment(prompt_head(header), False)]
    segments += [Segment(form.render(record, k), trained) for k, (record, trained) in enumerate(blocks, start=1)]
    return segments, tasks
