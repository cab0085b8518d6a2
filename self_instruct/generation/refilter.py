"""A new dataset from the journal of an old run, without generating.

Every completion is decided on again, in request order, with the options of that run and those given in their place. The old
directory is left as it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.generation.config import assemble
from self_instruct.generation.earlier_run import read_run
from self_instruct.generation.summary import Ending
from self_instruct.runs import manifest
from self_instruct.runs.funnel import write_report
from self_instruct.runs.journal import read_journal


def refilter(old: Path, new: Path, given: Mapping[str, Any]) -> Ending:
    """Writes the dataset of the run in `old`, with the options `given` in place of its own, into the empty directory `new`.

    With `num_instructions_to_generate` among them it ends at that many records, else all that pass are kept. Raises `UserError`
    if a directory or an option cannot be used, or a file of the run is not what it was.
    """
    run, entries = read_run(old), read_journal(old)
    # A call that was killed leaves halves of files.
    if new.exists() and (not new.is_dir() or any(path.suffix != ".part" for path in new.iterdir())):
        raise UserError(f"{new}: is not empty; give a new directory")
    options = {**run.options, **given}
    recipe = run.recipe(assemble(options), given)
    hashes = {"response_filters_sha256": manifest.response_filters_hash(options)}
    described = {**run.described, "options": options, **recipe.described(), **hashes}
    target = given.get("num_instructions_to_generate")
    curator = recipe.curator(limited=target is not None)
    try:
        new.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{new}: cannot be made ({error.strerror}); give another directory") from None
    writer, funnel = recipe.writer(new, described["model_revision"]), recipe.funnel(limited=target is not None)
    stopped = f"all {len(entries)} completions were judged again"
    try:
        for entry in entries:
            if target is not None and funnel.accepted >= target:
                stopped = f"all {target} records are there"
                break
            verdicts = curator.decide(entry, None if target is None else target - funnel.accepted)
            writer.write(entry, verdicts)
            funnel.count(entry, verdicts)
        undecided = curator.unfinished()
        writer.write(None, undecided)
        funnel.settle(undecided)
        writer.publish()
    finally:
        writer.close()
    manifest.write(new, described)
    write_report(new, funnel, stopped)
    return Ending(new, funnel, curator.pool, stopped)
