"""Generate and refilter from Python: the functions behind the commands, without argv and without printing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from self_instruct.config.parser import check_values
from self_instruct.config.shipped import shipped
from self_instruct.engines.base import Engine, EngineLost
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.generation.config import GROUPS, PROMPTS, REFILTER_OPTIONS, Config
from self_instruct.generation.refilter import refilter as refilter_run
from self_instruct.generation.run import build_recipe
from self_instruct.generation.run import generate as generate_run
from self_instruct.generation.signals import handled_signals, raise_signal
from self_instruct.runs import logs
from self_instruct.runs.layout import path_of
from self_instruct.runs.run import Run, load_run


def generate(config: Config, *, format: RecordFormat = INSTRUCTION_OUTPUT, engine: Engine | None = None) -> Run:
    """Generate into the directory that `config` names as `batch_dir`, and return the run.

    A run in the directory is continued. `engine` replaces the engine of the options. Call this under `if __name__ ==
    "__main__":` in a script that uses a local model, because the model is loaded in a separate process. Raises
    UserError for a mistake in an option or a file, EngineLost if generation failed, KeyboardInterrupt after
    SIGINT, and SystemExit after another signal; earlier completions are in the directory.
    """
    _check_types(config, format, engine)
    folder = config.run.batch_dir
    if not folder:
        raise UserError("batch_dir is missing; give the directory of the run")
    if config.run.dry_run or config.run.plan:
        raise UserError("dry_run and plan only print text; use the command `self-instruct generate` for them")
    if config.prompt.prompt_path is None and config.category.categories is None and format.name not in PROMPTS:
        raise UserError(
            f"prompt_path is missing, and there is no built-in header for the format {format.name}; give a text file"
        )
    if engine is not None and config.model.model_name_or_path is None:
        config = replace(config, model=replace(config.model, model_name_or_path=type(engine).__name__))
    recipe = build_recipe(config, format, shipped(PROMPTS.get(format.name, "")))
    try:
        with handled_signals():
            ended = generate_run(recipe, engine=engine)
    finally:
        logs.close()
    raise_signal(ended.code)
    if ended.code:
        raise EngineLost(ended.text or "generation failed; the log in the run directory says why")
    return Run(Path(folder))


def _check_types(config: object, format: object, engine: object) -> None:
    """Raise UserError for an argument of another type, before anything is written."""
    for value, wanted, shown in ((config, Config, "config"), (format, RecordFormat, "format")):
        if not isinstance(value, wanted):
            raise UserError(f"{shown} is of type {type(value).__name__}; give a self_instruct.{wanted.__name__}")
    absent = [name for name in ("submit", "poll", "interrupt", "close") if not callable(getattr(engine, name, None))]
    if engine is not None and absent:
        raise UserError(
            f"engine is of type {type(engine).__name__}, which has no method {absent[0]}; give an object with the methods of "
            "self_instruct.Engine"
        )


def refilter(run: Run | str | Path, new_dir: str | Path, **options: Any) -> Run:
    """Decide again on every completion of a run with other options, and write the result to the new directory `new_dir`.

    `options` are those of `self-instruct refilter`; missing ones keep the values of the run. Nothing is generated. Raises
    UserError for a mistake in an option or a file.
    """
    old, folder = run if isinstance(run, Run) else load_run(run), path_of(new_dir, "new_dir")
    refilter_run(old.folder, folder, check_values(options, GROUPS, REFILTER_OPTIONS))
    return Run(folder)
