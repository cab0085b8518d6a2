"""The generation command: options are checked, the parts put together, the loop run."""

import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from self_instruct.commands.guard import guarded, speaks
from self_instruct.config.option import declarations, option
from self_instruct.config.parser import parse_values
from self_instruct.config.presets import PRESETS
from self_instruct.config.shipped import shipped
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS, INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.generation.config import GROUPS, Config, assemble, flatten
from self_instruct.generation.signals import Interruption
from self_instruct.runs import logs

_log = logging.getLogger(__name__)
_PROMPTS = {
    INSTRUCTION_OUTPUT.name: "instruction_io/prompt.txt",
    INSTRUCTION_INPUT_OUTPUT.name: "instruction_iio/prompt.txt",
}


@dataclass(frozen=True)
class FormatOptions:
    """records"""

    record_format: str = option(
        INSTRUCTION_OUTPUT.name,
        "fields of a record, in the order in which the model writes them",
        choices=tuple(FORMATS),
        common=True,
    )


def run(format: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> None:
    """Runs a launch script and exits: 0 when a limit was reached, 1 when the engine or the disk failed, 2 for a user's mistake,
    128 + n for signal n.
    """
    guarded(lambda: _run(format, prompt_path, argv))


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    values, _ = parse_values(argv, "Generate records with a language model.", (FormatOptions, *GROUPS))
    name = values.pop("record_format", FormatOptions().record_format)
    return _generate(FORMATS[name], shipped(_PROMPTS[name]), values)


def _run(base: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> int:
    values, _ = parse_values(argv, f"Generate {base.name.replace('_', '-')} records with a language model.", GROUPS)
    return _generate(base, prompt_path, values)


def _generate(base: RecordFormat, prompt_path: Path, values: Mapping[str, Any]) -> int:
    config = assemble(values)
    logs.configure(config.reporting.log_level)
    recipe = _recipe(config, base, prompt_path, values)
    if config.run.dry_run:
        return dry_run(recipe)
    if config.run.batch_dir:
        return generate(config, base, recipe)
    if not config.run.plan:
        raise UserError("--batch_dir is missing; give the directory that the run is to be written to")
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, run=replace(config.run, batch_dir=folder))
        return generate(config, base, replace(recipe, config=config))


def _recipe(config: Config, base: RecordFormat, prompt_path: Path, values: Mapping[str, Any]) -> Any:
    from self_instruct.generation.assembly import build_format
    from self_instruct.generation.recipe import SeedRecipe

    if config.mixture.categories is None:
        return SeedRecipe.of(config, build_format(base, config), prompt_path)
    from self_instruct.generation.categories.recipe import Mixture

    mixture = Mixture.of(config, base)
    by_preset = PRESETS[config.run.preset].options if config.run.preset else {}
    given = [name for name, value in values.items() if name not in by_preset or value != by_preset[name]]
    if (replaced := mixture.replaced(given)) and speaks():
        _log.warning(
            "%s: without effect, since every category given sets its own; change it in their files (docs/categories.md)",
            ", ".join(
                f"--{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in replaced.items()
            ),
        )
    return mixture


def dry_run(recipe: Any) -> int:
    """Shows what the model would read first."""
    from self_instruct.engines.scripted import ScriptedEngine

    for shown, prompt in recipe.first_prompts(ScriptedEngine({})):
        print(prompt.text + prompt.opening, end="", flush=True)
        print(f"({shown}; nothing was generated)", file=sys.stderr)
    return 0


def generate(config: Config, base: RecordFormat, recipe: Any) -> int:
    """One process of a launch that generates from a recipe; the exit code."""
    from self_instruct.engines.fleet.world import current_world
    from self_instruct.engines.server.connecting import check_engine, check_given
    from self_instruct.generation.assembly import with_horizon
    from self_instruct.generation.progress import Progress
    from self_instruct.generation.tracking import check_installed
    from self_instruct.runs import manifest
    from self_instruct.runs.backup import set_aside

    check_installed(config.reporting.report_to)
    check_given(config.endpoint.api_base, config.endpoint.api_extra_body, logs.without_secrets)
    check_engine(config.model.engine, vars(config.endpoint))
    world = current_world()
    folder = Path(config.run.batch_dir or "")
    recipe.check()
    anew = set_aside(
        folder,
        overwrite=config.run.overwrite,
        append=config.run.append,
        yes=config.run.yes,
        is_main=world.is_main,
        ask=_ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
    )
    earlier = None if anew else manifest.of_journal(folder)
    config = with_horizon(config, earlier)
    recipe = replace(recipe, config=config)
    described = manifest.describe(flatten(config), base.name, model_revision="", **recipe.described())
    if earlier is not None:
        # What can be refused before a model is loaded is refused before.
        manifest.check_same_plan(
            folder,
            earlier,
            {**described, "model_revision": earlier.get("model_revision")},
            declarations(GROUPS),
        )
    from self_instruct.generation.workers import serve, started

    interruption = Interruption()
    logs.write_to(folder, world.rank)
    if not world.is_main:
        try:
            return serve(config, world, interruption)
        except UserError as error:
            raise UserError(str(error), world.rank) from error
    from self_instruct.generation.run import launch

    progress = Progress(config.run.num_instructions_to_generate, every=config.reporting.heartbeat_seconds)
    with started(config, world, progress.step) as generators:
        described["model_revision"] = generators.reader.model_revision
        if earlier is not None:
            manifest.check_same_plan(folder, earlier, described, declarations(GROUPS))
        code, text = launch(config, recipe, generators, folder, described, progress, interruption)
    print(text)
    return code


def _ask(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
