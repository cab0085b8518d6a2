"""The generation command: options are checked, the parts put together, the loop run. User mistakes end here."""

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from self_instruct.arguments import parse_arguments
from self_instruct.config import Config, flatten
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat


def run(format: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> None:
    """Runs a launch script and exits: 0 when a limit was reached, 1 when the engine or the disk failed, 2 for a user's mistake,
    128 + n for signal n.
    """
    guarded(lambda: _run(format, prompt_path, argv))


def guarded(command: Callable[[], int]) -> None:
    """Runs a command and exits with its code; a user's mistake is one message and code 2, without a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "transformers", "sentence_transformers", "datasets"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # What a model wrote may hold signs that a terminal's encoding has not.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command()
        sys.stdout.flush()
    except UserError as error:
        if error.rank is not None:
            print(f"error: rank {error.rank}: {error}", file=sys.stderr)
        elif os.environ.get("LOCAL_RANK", "0") == "0":
            # Every rank finds the same mistake; one message a node is enough.
            print(f"error: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has left; nothing more can be said, and the files are written.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 128 + signal.SIGPIPE
        else:
            place = f"{error.filename}: " if error.filename else ""
            print(
                f"error: {place}{error.strerror or error}; what was journalled is kept, and the same command goes on",
                file=sys.stderr,
            )
            code = 1
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)


def _run(base: RecordFormat, prompt_path: Path, argv: Sequence[str]) -> int:
    config = parse_arguments(argv, f"Generate {base.name.replace('_', '-')} records with a language model.")
    if not config.run.seed_tasks_path:
        raise UserError("--seed_tasks_path is missing; give a JSONL file of seed tasks, as seeds/code.jsonl")
    from self_instruct.assembly import build_format, read_header
    from self_instruct.seeds import load_seeds

    format = build_format(base, config)
    header = read_header(Path(config.prompt.prompt_path or prompt_path))
    seeds = load_seeds(Path(config.run.seed_tasks_path))
    if config.run.dry_run:
        return _dry_run(config, format, header, seeds)
    if not config.run.batch_dir:
        raise UserError("--batch_dir is missing; give the directory that the run is to be written to")
    return _generate(config, format, header, seeds)


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
    from self_instruct import distributed, manifest
    from self_instruct.assembly import build_composer, build_mix, stop_words, with_horizon
    from self_instruct.progress import Progress
    from self_instruct.seeds import fingerprint
    from self_instruct.signals import Interruption

    world = distributed.current_world()
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
    progress = Progress(config.run.num_instructions_to_generate)
    try:
        engine = _load_engine(config, world, progress.step)
        if engine is None:  # this process has generated with another, to the end
            return 0
        described["model_revision"] = engine.model_revision
        if earlier is not None:
            manifest.check_same_plan(folder, earlier, described)
        composer = build_composer(config, format, header, seeds, engine)
        if world.size > 1:
            store, rows = distributed.connect(world), config.model.request_batch_size or engine.rows
            if not world.is_main:
                interruption = Interruption(engine.interrupt)
                distributed.serve(engine, store, rows, interruption.reason)
                return 128 + interruption.received if interruption.received else 0
            engine = distributed.SharedEngine(engine, store, rows)
    except UserError as error:
        raise UserError(str(error), world.rank or None) from error
    from self_instruct.launch import launch

    try:
        return launch(config, composer, engine, folder, described, progress)
    finally:
        engine.close()


def _load_engine(config: Config, world: Any, on_step: Callable[[int], None]) -> Any:
    from self_instruct.assembly import build_sampling
    from self_instruct.engines import Placement, load_engine

    options = config.model
    placement = Placement(
        options.dtype,
        options.attn_implementation,
        options.quantization,
        options.device_map,
        options.tensor_parallel_size,
    )
    return load_engine(
        options.engine, options.model_name_or_path, options.script_path, build_sampling(config),
        model_revision=options.model_revision, placement=placement, trust_remote_code=options.trust_remote_code,
        batch_size=options.request_batch_size, max_length=config.sampling.max_length,
        chat_template=config.prompt.chat_template, rank=world.rank, processes=world.size, on_step=on_step,
        backend=options.engine_backend,
    )  # fmt: skip
