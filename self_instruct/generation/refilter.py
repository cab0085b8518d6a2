"""Make a new dataset from the journal of an old run, without generating.

All completions are decided on again in request order, with the run's options except for those given. The old directory does
not change.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.generation.config import assemble
from self_instruct.generation.earlier_run import read_run
from self_instruct.generation.progress import REPLAYED, Progress
from self_instruct.generation.summary import Ending
from self_instruct.novelty.vector_cache import FILE_NAME
from self_instruct.runs import manifest
from self_instruct.runs.files import make_folder
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import read_journal
from self_instruct.runs.layout import ACCEPTED, DESCRIPTION, REJECTED, REPORT
from self_instruct.runs.report import write_report
from self_instruct.runs.run import load_run


def refilter(old: Path, new: Path, given: Mapping[str, Any]) -> Ending:
    """Write the dataset of the run in `old` into `new`; `given` options override those of the run.

    `new` is an empty directory, or has the result of the same options, perhaps unfinished.
    The dataset has at most `num_instructions_to_generate` records. Raises `UserError` if a directory or an option cannot be
    used, or a file of the run has changed.
    """
    run, entries = read_run(old), read_journal(old)
    options = {"check_outputs": False, **run.options, **given}  # runs of earlier versions did not check outputs
    recipe = run.recipe(assemble(options), given)
    target = recipe.config.run.num_instructions_to_generate
    hashes = {"response_filters_sha256": manifest.response_filters_hash(options)}
    described = {**run.described, "options": options, **recipe.described(), **hashes}
    if new.exists() and not _can_be_filled(new, described):
        raise UserError(f"{new}: is not empty; give a new directory")
    curator = recipe.curator()
    try:
        make_folder(new)
    except OSError as error:
        raise UserError(f"{new}: cannot be created ({error.strerror}); give another directory") from None
    writer, funnel = recipe.writer(new, described["model_revision"]), recipe.funnel()
    stopped = f"all {len(entries)} completions were refiltered"
    progress = Progress(len(entries), unit=REPLAYED)
    progress.begin(0)
    try:
        with curator.results(old, writes=False):
            for at, entry in enumerate(entries, start=1):
                if funnel.accepted >= target:
                    stopped = f"all {target} records are accepted"
                    break
                while not curator.ready(entry):
                    curator.wait()
                verdicts = curator.decide(entry, target - funnel.accepted)
                writer.write(entry, verdicts)
                funnel.count(entry, verdicts, curator.passed_on)
                progress.reach(at)
        undecided = curator.unfinished()
        writer.write(None, undecided)
        funnel.count_undecided(undecided)
        writer.publish()
    finally:
        progress.close()
        writer.close()
    manifest.write(new, described)
    curator.save_vectors()
    write_report(new, funnel, stopped, curator.pool, recipe.seeds)
    note = _note(funnel, target, len(entries), load_run(old).report.get("requests"))
    return Ending(new, funnel, curator.pool, stopped, {"num_instructions_to_generate": target}, note=note)


def _can_be_filled(folder: Path, described: Mapping[str, Any]) -> bool:
    """Return whether a directory is empty, or has only files of a refilter that is unfinished or has this description."""
    own = {ACCEPTED, REJECTED, DESCRIPTION, REPORT, FILE_NAME}
    if not folder.is_dir() or any(path.name not in own and path.suffix != ".part" for path in folder.iterdir()):
        return False
    return not (folder / REPORT).exists() or manifest.read(folder) == described


def _note(funnel: Funnel, target: int, completions: int, before: Any) -> str:
    """Return a sentence that explains the number of records. `before` is the number of requests that the run decided on."""
    if left := completions - funnel.requests:
        return (
            f"{left:,} of the run's {completions:,} completions {'were' if left > 1 else 'was'} not needed; a larger "
            "--num_instructions_to_generate uses more."
        )
    more = completions - before if isinstance(before, int) else 0
    beyond = f", {more:,} more than the run itself had used" if more > 0 else ""
    given = f"{funnel.accepted:,} of the {target:,} records asked for"
    return (
        f"The run's {completions:,} completions{beyond}, give {given}." if beyond else f"The completions give {given}."
    )
