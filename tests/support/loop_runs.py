"""Run the bootstrapping loop over an engine in this process, without a command."""

from pathlib import Path
from typing import Any

from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Curator, rules_of
from self_instruct.generation.loop import Limits, Loop
from self_instruct.generation.plan import SeedPlan, numbered_stop
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptBudget, PromptComposer
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.records import Record
from self_instruct.rules.filters import build_filters
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Journal
from self_instruct.runs.report import write_report
from self_instruct.runs.writer import Origin, Writer

SEEDS = [
    Record("s1", "Name three rivers of Europe.", "", "Rhine, Danube, Loire"),
    Record("s2", "Add all numbers of a list.", "", "sum(numbers)"),
    Record("s3", "Explain why the sky is blue to a child.", "", "Air scatters blue light most."),
]
ORIGIN = Origin("script", "r1", "instruction_output", dict(INSTRUCTION_OUTPUT.triggers), {})


def looped(
    engine: Any, folder: Path, target: int = 50, *, horizon: int = 6, more: dict[str, Any] | None = None, **limits: Any
) -> tuple[Loop, str]:
    """Run the loop into a folder; return it and the reason for its stop. A word of a prompt counts as a token."""
    folder.mkdir(exist_ok=True)
    journal, writer = Journal(folder), Writer(folder, ORIGIN)
    composer = PromptComposer(
        "Go on.", INSTRUCTION_OUTPUT, DemonstrationMix(3, 2, 3), 42, SEEDS,
        lambda prompt, opening: len(prompt.split()) + len(opening.split()), PromptBudget(0),
    )  # fmt: skip
    patience, capacity = limits.pop("patience", 100), getattr(engine, "capacity", None)
    bounds = Limits(target, limits.pop("min_yield", 0.0), capacity=capacity, **limits)
    more = dict(more or {})
    interrupted = more.pop("interrupted", lambda: None)
    rules = rules_of(INSTRUCTION_OUTPUT, build_filters("Go on."), Bounds(0.6))
    curator = Curator({None: rules}, Novelty([(seed.id, seed.task) for seed in SEEDS]))
    plan = SeedPlan(composer, curator, 42, horizon, numbered_stop(99, None), **more)
    loop = Loop(plan, engine, journal, curator, writer, Funnel(patience), bounds, interrupted)
    try:
        stopped = loop.replay() or loop.run(Progress(target))
        if loop.replayed:
            write_report(folder, loop.funnel, stopped)
    finally:
        writer.close()
        journal.close()
    return loop, stopped
