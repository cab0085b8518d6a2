"""The generation command: options are checked, the parts put together, the loop run. User mistakes end here."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from self_instruct import logs
from self_instruct.arguments import parse_arguments
from self_instruct.config import Config, flatten
from self_instruct.engines.base import EngineLost
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.signals import Interrupted, Interruption

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
    config = parse_arguments(argv, f"Generate {base.name.replace('_', '-')} records with a language model.")
    logs.configure(config.reporting.log_level)
    if not config.run.seed_tasks_path:
        raise UserError("--seed_tasks_path is missing; give a JSONL file of seed tasks, as seeds/code.jsonl")
    from self_instruct.assembly import build_format, read_header
    from self_instruct.seeds import load_seeds

    format = build_format(base, config)
    header = read_header(Path(config.prompt.prompt_path or prompt_path))
    seeds = load_seeds(Path(config.run.seed_tasks_path))
    if config.run.dry_run:
        return _dry_run(config, format, header, seeds)
    if config.run.batch_dir:
        return _generate(config, format, header, seeds)
    if not config.run.plan:
        raise UserError("--batch_dir is missing; give the directory that the run is to be written to")
    with tempfile.TemporaryDirectory() as folder:
        return _generate(replace(config, run=replace(config.run, batch_dir=folder)), format, header, seeds)


def _dry_run(config: Config, format: RecordFormat, header: str, seeds: list[Any]) -> int:
    from self_instruct.assembly import build_composer
    from self_instruct.engines.scripted import ScriptedEngine

    composer = build_composer(config, format, header, seeds, ScriptedEngine({}))
    prompt = composer.compose(0, [])
    print(prompt.text + prompt.opening, end="")
    print(
        f"(the first prompt: {len(prompt.demonstrations)} of {len(seeds)} seed tasks; nothing was generated)",
        file=sys.stderr,
    )
    return 0


def _generate(config: Config, format: RecordFormat, header: str, seeds: list[Any]) -> int:
    from self_instruct import manifest
    from self_instruct.assembly import build_composer, build_mix, stop_words, with_horizon
    from self_instruct.distributed.world import current_world
    from self_instruct.progress import Progress
    from self_instruct.seeds import fingerprint
    from self_instruct.tracking import check_installed

    check_installed(config.reporting.report_to)
    world = current_world()
    folder = Path(config.run.batch_dir or "")
    earlier = manifest.of_journal(folder)
    config = with_horizon(config, earlier)
    described = manifest.describe(
        flatten(config), format.name, header, fingerprint(Path(config.run.seed_tasks_path or "")), ""
    )
    if earlier is not None:
        # What can be refused before a model is loaded is refused before.
        manifest.check_same_plan(folder, earlier, {**described, "model_revision": earlier.get("model_revision")})
    build_mix(config, seeds)
    stop_words(config)
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
        composer = build_composer(config, format, header, seeds, generators.reader)
        return launch(config, composer, generators, folder, described, progress, interruption)
