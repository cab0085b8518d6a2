"""Runs from categories in this process, with an engine that calls a function of the test for each completion."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from self_instruct.engines.base import Completion, Request
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.automatic_options import with_horizon
from self_instruct.generation.categories.recipe import CategoryRecipe
from self_instruct.generation.config import parse_arguments
from self_instruct.generation.loop import Limits, Loop
from self_instruct.generation.progress import Progress
from self_instruct.runs.journal import Journal
from self_instruct.runs.report import write_report

SMALL = """\
format: {format}
steps: {steps}
tasks_per_request: {tasks}
prompt: Write things of the kind {name}.
request: "Kind: {name}. Topic: {{topic}}. Tasks: {{count}}."
{response}
demonstrations:
- instruction: The demonstration of {name} asks for something plain.
  output: It is done for {name}.
- instruction: Another one of {name}, entirely different from that.
  output: And that is done too.
"""


def write_category(
    folder: Path, name: str, steps: int = 1, tasks: int = 2, format: str = "io", more: str = ""
) -> Path:
    """Write a small category file without validators."""
    response = "response_prompt: Answer them." if steps == 2 else ""
    folder.mkdir(parents=True, exist_ok=True)
    text = SMALL.format(name=name, steps=steps, tasks=tasks, format=format, response=response)
    path = folder / f"{name}.yaml"
    path.write_text(text + more, encoding="utf-8")
    return path


def build_recipe(*argv: object) -> CategoryRecipe:
    """Build the recipe of a command line, with the horizon set."""
    config = with_horizon(parse_arguments([str(part) for part in argv], "A test."))
    return CategoryRecipe.of(config, INSTRUCTION_OUTPUT)


@dataclass
class Author(ScriptedEngine):
    """An engine that answers with the text of `write(request)`, or fails if it is None. `asked` holds all requests."""

    write: Callable[[Request], str | None]
    asked: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__({})
        self.capacity = None

    def _complete(self, request: Request) -> Completion:
        self.asked.append(request)
        text = self.write(request)
        self._texts = {} if text is None else {request.index: (text, False)}
        return super()._complete(request)


def run_recipe(recipe: CategoryRecipe, folder: Path, engine: ScriptedEngine) -> tuple[Loop, str]:
    """Run a whole launch in this process; return its loop and the reason for its stop."""
    folder.mkdir(exist_ok=True)
    run = recipe.config.run
    session, journal = recipe.session(engine), Journal(folder)
    writer = recipe.writer(folder, "r1")
    limits = Limits(run.num_instructions_to_generate, 0.0, run.max_requests, capacity=engine.capacity)
    loop = Loop(
        session.plan, engine, journal, session.curator, writer, recipe.funnel(), limits, lambda: None
    )  # fmt: skip
    try:
        with session.curator.results(folder):
            loop.replay()
            stopped = loop.run(Progress(1))
            loop.finish()
        write_report(folder, loop.funnel, stopped)
    finally:
        writer.close()
        journal.close()
    return loop, stopped


def replayed(folder: Path) -> ScriptedEngine:
    """Return an engine that answers with the completions in a run's journal."""
    return ScriptedEngine.from_file(folder / "completions.jsonl")


def script_of(rows: list[dict], path: Path) -> Path:
    """Write these rows as a script file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
