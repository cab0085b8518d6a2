"""The generation command: check the options, build the recipe, run the loop, print the summary."""

import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.commands.guard import guarded, prints_messages
from self_instruct.config.option import declarations, option, taken
from self_instruct.config.parser import TRUTHS, parse_values
from self_instruct.config.presets import PRESETS
from self_instruct.config.program import command_line
from self_instruct.config.shipped import shipped
from self_instruct.datasets.options import HubOptions, PushOptions
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.generation.config import GROUPS, PROMPTS, Config, assemble
from self_instruct.runs import logs

if TYPE_CHECKING:
    from self_instruct.datasets.pushing import Pusher
    from self_instruct.generation.recipe import Recipe

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FormatOptions:
    """records"""

    record_format: str = option(
        INSTRUCTION_OUTPUT.name,
        "fields of a record, in the order in which the model writes them",
        choices=tuple(FORMATS),
        common=True,
    )


_GROUPS = (*GROUPS, HubOptions, PushOptions)


def run(format: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> None:
    """Run a launch script and exit: 0 if the target or a limit was reached, 1 if the engine or the disk failed, 2 for a user
    error, 128 + n for signal n.
    """
    guarded(lambda: _run(format, prompt_path, argv))


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    values, _ = parse_values(argv, "Generate records with a language model.", (FormatOptions, *_GROUPS))
    name = values.pop("record_format", FormatOptions().record_format)
    return _generate(FORMATS[name], shipped(PROMPTS[name]), values)


def _run(base: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> int:
    values, _ = parse_values(argv, f"Generate {base.name.replace('_', '-')} records with a language model.", _GROUPS)
    return _generate(base, prompt_path, values)


def _generate(base: RecordFormat, prompt_path: Path, values: Mapping[str, Any]) -> int:
    config, hub = assemble(values), taken(HubOptions, values)
    if hub.push_to_hub is None and (hub.private or "push_every" in values):
        raise UserError(f"--{'private' if hub.private else 'push_every'} needs --push_to_hub OWNER/NAME; add it")
    if hub.push_to_hub is not None and config.run.plan:
        raise UserError("--push_to_hub cannot be combined with --plan, which only estimates; leave one of them out")
    logs.configure(config.reporting.log_level)
    recipe = _recipe(config, base, prompt_path, values)
    if config.run.dry_run:
        return dry_run(recipe)
    if config.run.batch_dir:
        return generate(recipe, _pusher(config, hub, taken(PushOptions, values).push_every))
    if not config.run.plan:
        raise UserError("--batch_dir is missing; give the directory for the run")
    with tempfile.TemporaryDirectory() as folder:
        config = replace(config, run=replace(config.run, batch_dir=folder))
        return generate(replace(recipe, config=config))


def _recipe(config: Config, base: RecordFormat, prompt_path: Path, values: Mapping[str, Any]) -> "Recipe":
    """Build the recipe for the options; warn about given options that every category overrides."""
    from self_instruct.generation.categories.recipe import CategoryRecipe
    from self_instruct.generation.run import build_recipe

    recipe = build_recipe(config, base, prompt_path)
    by_preset = PRESETS[config.run.preset].options if config.run.preset else {}
    given = [name for name, value in values.items() if name not in by_preset or value != by_preset[name]]
    replaced = recipe.replaced(given) if isinstance(recipe, CategoryRecipe) else {}
    if replaced and prints_messages():
        _log.warning(
            "%s: no effect, because each category sets its own value; change it in the category files (docs/categories.md)",
            ", ".join(
                f"--{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in replaced.items()
            ),
        )
    return recipe


def dry_run(recipe: "Recipe") -> int:
    """Print the first prompt of the recipe, or of each of its categories."""
    from self_instruct.engines.scripted import ScriptedEngine
    from self_instruct.generation.assembly import build_spending

    build_spending(recipe.config)
    for shown, prompt in recipe.first_prompts(ScriptedEngine({})):
        print(prompt.text + prompt.opening, end="", flush=True)
        print(f"({shown}; nothing was generated)", file=sys.stderr)
    return 0


def generate(recipe: "Recipe", pusher: "Pusher | None" = None) -> int:
    """Generate from a recipe, print the summary and return the exit code."""
    from self_instruct.generation.run import generate as generate_run

    command = _without_overwriting(command_line(), recipe.config.run.overwrite)
    ended = generate_run(
        recipe,
        ask=_ask if sys.stdin.isatty() and sys.stderr.isatty() else None,
        again=command,
        observer=pusher,
    )
    if ended.text is None:
        return ended.code
    print(ended.text, flush=True)
    failed = _finish_push(pusher, ended.code > 128) if pusher is not None else 0
    return ended.code or failed


def _pusher(config: Config, hub: HubOptions, every: int) -> "Pusher | None":
    """Return the pusher of --push_to_hub, or None without it. Raises UserError if no push could succeed."""
    if hub.push_to_hub is None:
        return None
    from self_instruct.datasets.history import Declared
    from self_instruct.datasets.publish import check_name, check_online
    from self_instruct.datasets.pushing import Pusher

    check_name(hub.push_to_hub)
    check_online()
    run = config.run
    return Pusher(
        Path(str(run.batch_dir)), hub.push_to_hub, hub.private, every, run.num_instructions_to_generate,
        Declared(declarations(GROUPS), {}, {}),
    )  # fmt: skip


def _finish_push(pusher: "Pusher", interrupted: bool) -> int:
    """Push the remaining records, print the result, and return the exit code: 1 if records are missing on the Hub."""
    from self_instruct.generation.summary import counted

    pushed = pusher.finish(interrupted)
    if pushed.commits:
        print(
            f"Pushed: {pushed.records:,} records are on the Hub. This launch made {counted(pushed.commits, 'commit')}; the "
            f"last is {pushed.commit}"
        )
    if pushed.error:
        print(f"error: {pushed.error}. {pushed.left:,} records are not on the Hub yet.", file=sys.stderr)
    return int(bool(pushed.error))


def _ask(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _without_overwriting(argv: Sequence[str], overwrites: bool) -> list[str]:
    """Return the command without --overwrite and --yes, so that it continues the run."""
    kept: list[str] = []
    switch = False  # whether the previous word was one of the two
    for part in argv:
        value = switch and part.lower() in TRUTHS
        switch = part in ("--overwrite", "--yes")
        if not (value or part.partition("=")[0] in ("--overwrite", "--yes")):
            kept.append(part)
    flags = {part.partition("=")[0] for part in argv}
    # The --config file may set overwrite too; where a flag overrides it, the value in the file is not known here.
    in_file = "--config" in flags and (overwrites or "--overwrite" in flags)
    return [*kept, "--overwrite", "false"] if in_file else kept
