"""A new dataset from an old run, without generating: python -m self_instruct.refilter OLD_DIR NEW_DIR --rouge_threshold 0.6

Every completion in the old run's journal is judged again, in request order, with the options of that run and those given
here in their place. The old directory is left as it is.
"""

from pathlib import Path
from typing import Any

from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.options import OutputOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, assemble
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions

_OTHERS = (
    "preset",
    "categories_path",
    "topics_path",
    "num_instructions_to_generate",
    "seed_tasks_path",
    "instruction_trigger",
    "input_trigger",
    "output_trigger",
)
_NAMES = (*FilterOptions.__dataclass_fields__, *NoveltyOptions.__dataclass_fields__, *_OTHERS)
_BY = {"OLD_DIR": "batch_dir", "NEW_DIR": "output_path"}
_TOLD = {
    "batch_dir": "directory of the old run",
    "output_path": "directory of the new dataset",
    **{name: DEFAULT.format("the run's") for name in _NAMES if name != "preset"},
    "num_instructions_to_generate": "stop at exactly this many records [default: all that pass are kept]",
}
_HELP = "A new dataset from an old run, without generating. What is not given is as it was in that run."
AFTER_FAILURE = "the old directory is as it was; give a new one that is empty"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    given, (old, new) = parse_values(
        argv, _HELP, (*GROUPS, OutputOptions), (*_NAMES, *_BY.values()), tuple(_BY), _TOLD,
        {shown: [name] for shown, name in _BY.items()},
    )  # fmt: skip
    given = {name: value for name, value in given.items() if name not in _BY.values()}
    old_dir, new_dir = Path(old), Path(new)

    from self_instruct.generation.earlier_run import read_run
    from self_instruct.runs.journal import read_journal

    run = read_run(old_dir)
    entries = read_journal(old_dir)
    # A call that was killed leaves halves of files.
    if new_dir.exists() and (not new_dir.is_dir() or any(path.suffix != ".part" for path in new_dir.iterdir())):
        raise UserError(f"{new_dir}: is not empty; give a new directory")
    return _refilter(entries, run, given, new_dir)


def _refilter(entries: list[Any], run: Any, given: dict[str, Any], new_dir: Path) -> int:
    from self_instruct.generation.summary import summarise
    from self_instruct.runs import manifest
    from self_instruct.runs.funnel import write_report

    options = {**run.options, **given}
    config = assemble(options)
    recipe = run.recipe(config, given)
    hashes = {"response_filters_sha256": manifest.response_filters_hash(options)}
    described = {**run.described, "options": options, **recipe.described(), **hashes}
    target = given.get("num_instructions_to_generate")
    curator = recipe.judge(limited=target is not None)
    try:
        new_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{new_dir}: cannot be made ({error.strerror}); give another directory") from None
    writer, funnel = recipe.writer(new_dir, described["model_revision"]), recipe.funnel(limited=target is not None)
    stopped = f"all {len(entries)} completions were judged again"
    try:
        for entry in entries:
            if target is not None and funnel.accepted >= target:
                stopped = f"all {target} records are there"
                break
            verdicts = curator.judge(entry, None if target is None else target - funnel.accepted)
            writer.write(entry, verdicts)
            funnel.count(entry, verdicts)
        undecided = curator.unfinished()
        writer.write(None, undecided)
        funnel.settle(undecided)
        writer.publish()
    finally:
        writer.close()
    manifest.write(new_dir, described)
    write_report(new_dir, funnel, stopped)
    print(summarise(new_dir, funnel, curator.pool, stopped))
    return 0
