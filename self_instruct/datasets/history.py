"""How a dataset came to be, told by what the commands have left beside it: the run, then what was done to its records.

Commands are told with paths shortened to names, and nothing that may be a secret. Knows nothing of cards.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass
from pathlib import Path

from self_instruct.datasets.file_steps import of_report
from self_instruct.datasets.run_steps import consistent, generated, judged
from self_instruct.datasets.steps import Step
from self_instruct.runs.layout import (
    ACCEPTED,
    CONSISTENCY_REPORT,
    CONSISTENT,
    DESCRIPTION,
    JUDGE_REPORT,
    JUDGED,
    OutputPaths,
)

_CHOSEN = {JUDGED: JUDGE_REPORT, CONSISTENT: CONSISTENCY_REPORT}


@dataclass(frozen=True)
class Declared:
    """The options of what makes records and of what asks a model about them, which rooms above this one declare."""

    run: Mapping[str, Field]
    judge: Mapping[str, Field]
    consistency: Mapping[str, Field]


def history(path: Path, declared: Declared) -> list[Step]:
    """The steps that led to a file or a run's directory, first to last, as far as reports are still there.

    Raises `UserError` if one that is there cannot be understood.
    """
    return _history(path.absolute(), declared, set())


def _history(path: Path, declared: Declared, seen: set[Path]) -> list[Step]:
    if path.is_dir():
        path = path / ACCEPTED
    if path in seen:
        return []
    seen.add(path)
    folder, places = path.parent, OutputPaths(path)
    reports = [place for place in (places.report, places.judge_report) if place.is_file()]
    if reports:
        last = max(reports, key=lambda place: place.stat().st_mtime_ns)  # the file is what was written last
        step = judged(last, path, None, declared.judge) if last == places.judge_report else of_report(last, path.name)
        # Reports have paths as they were given: from the working directory then, which may be that of the output.
        found = [at.absolute() for place in step.inputs for at in (Path(place), folder / place) if at.is_file()]
        return [*(one for place in found for one in _history(place, declared, seen)), step]
    is_run = (folder / DESCRIPTION).is_file()
    if path.name == ACCEPTED:
        return [generated(folder, declared.run)] if is_run else []
    report = _CHOSEN.get(path.name)
    if report is None or not (is_run or (folder / report).is_file()):
        return []
    if path.name == JUDGED:
        step = judged(folder / report, path, folder, declared.judge)
    else:
        step = consistent(folder, declared.consistency)
    return [*_history(folder / ACCEPTED, declared, seen), step]
