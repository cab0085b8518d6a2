"""The generation command: options are checked, the parts put together, the loop run. User mistakes end here."""

import gc
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from self_instruct import logs
from self_instruct.arguments import parse_values
from self_instruct.config import Config, assemble, flatten
from self_instruct.engines.base import EngineLost
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.presets import PRESETS
from self_instruct.signals import Interrupted, Interruption

SOME_UNREADABLE = 3
"""The exit code of commands that read data, when some of it could not be read and all else was done."""
_log = logging.getLogger(__name__)


def run(format: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> None:
    """Runs a launch script and exits: 0 when a limit was reached, 1 when the engine or the disk failed, 2 for a user's mistake,
    128 + n for signal n.
    """
    guarded(lambda: _run(format, prompt_path, argv))


def guarded(
    command: Callable[[], int], after_failure: str = "what was journalled is kept, and the same command goes on"
) -> None:
    """Runs a command and exits with its code; a user's mistake is one message and code 2, without a traceback.

    `after_failure` is what a user has to know when the disk failed, or a signal came before there was anything to save.
    """
    logs.configure()
    Interruption()  # a command that has something to save makes its own
    try:
        code = command()
        sys.stdout.flush()
    except UserError as error:
        _log.error("%s", error, extra=logs.FILE_ONLY)
        if error.rank is not None:
            print(f"error: rank {error.rank}: {error}", file=sys.stderr)
        elif _speaks():
            print(f"error: {error}", file=sys.stderr)
        code = 2
    except EngineLost as error:
        _log.error("%s", error, extra=logs.FILE_ONLY)
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except OSError as error:
        code = _failed(error, after_failure)
    except Interrupted as signalled:
        if _speaks():
            print(f"Stopped: {signalled}; {after_failure}.", file=sys.stderr)
        code = 128 + signalled.number
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except Exception:
        _log.critical("a fault of the program", exc_info=True, extra=logs.FILE_ONLY)
        raise
    finally:
        logs.close()
        # The interpreter looks for cycles among all that torch and transformers have made several times before it ends, a
        # second's work; the system takes the memory back anyway.
        gc.freeze()
    sys.exit(code)


def _failed(error: OSError, after_failure: str) -> int:
    """Says what the system could not do, and returns the exit code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left; nothing more can be said, and the files are written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    _log.error("%s", error, extra=logs.FILE_ONLY)
    place = f"{error.filename}: " if error.filename else ""
    print(f"error: {place}{error.strerror or error}; {after_failure}", file=sys.stderr)
    return 1


def _speaks() -> bool:
    """Whether this process tells what every rank finds alike: one message a node is enough."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _run(base: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> int:
    values, _ = parse_values(argv, f"Generate {base.name.replace('_', '-')} records with a language model.")
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
    from self_instruct.assembly import build_format
    from self_instruct.recipes import SeedRecipe

    if config.mixture.categories is None:
        return SeedRecipe.of(config, build_format(base, config), prompt_path)
    from self_instruct.mixture import Mixture

    mixture = Mixture.of(config, base)
    by_preset = PRESETS[config.run.preset].options if config.run.preset else {}
    given = [name for name, value in values.items() if name not in by_preset or value != by_preset[name]]
    if (replaced := mixture.replaced(given)) and _speaks():
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
    from self_instruct import manifest
    from self_instruct.assembly import with_horizon
    from self_instruct.distributed.world import current_world
    from self_instruct.engines.endpoint.connecting import check_engine, check_given
    from self_instruct.overwriting import set_aside
    from self_instruct.progress import Progress
    from self_instruct.tracking import check_installed

    check_installed(config.reporting.report_to)
    check_given(config.endpoint.api_base, config.endpoint.api_extra_body, logs.without_secrets)
    check_engine(config.model.engine, vars(config.endpoint))
    world = current_world()
    folder = Path(config.run.batch_dir or "")
    recipe.check()
    anew = set_aside(config.run, folder, world.is_main)
    earlier = None if anew else manifest.of_journal(folder)
    config = with_horizon(config, earlier)
    recipe = replace(recipe, config=config)
    described = manifest.describe(flatten(config), base.name, model_revision="", **recipe.described())
    if earlier is not None:
        # What can be refused before a model is loaded is refused before.
        manifest.check_same_plan(folder, earlier, {**described, "model_revision": earlier.get("model_revision")})
    from self_instruct.generators import serve, started

    interruption = Interruption()
    logs.write_to(folder, world.rank)
    if not world.is_main:
        try:
            return serve(config, world, interruption)
        except UserError as error:
            raise UserError(str(error), world.rank) from error
    from self_instruct.launch import launch

    progress = Progress(config.run.num_instructions_to_generate, every=config.reporting.heartbeat_seconds)
    with started(config, world, progress.step) as generators:
        described["model_revision"] = generators.reader.model_revision
        if earlier is not None:
            manifest.check_same_plan(folder, earlier, described)
        return launch(config, recipe, generators, folder, described, progress, interruption)
