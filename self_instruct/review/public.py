"""Judge records from Python: the function behind the command, without argv and without printing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.config.parser import check_values
from self_instruct.datasets.options import CurationOptions
from self_instruct.engines.base import EngineLost
from self_instruct.generation.config import GROUPS
from self_instruct.generation.signals import handled_signals, raise_signal
from self_instruct.review.ask import review
from self_instruct.review.judge import judge_of, read_judgement
from self_instruct.review.options import JUDGE_NAMES, JudgeOptions
from self_instruct.review.predictions import read_predictions
from self_instruct.runs.run import Run
from self_instruct.user_files import read_objects


@dataclass(frozen=True)
class Judged:
    """The kept rows, unchanged; the mean score of each record by id, None if unknown; and the counts."""

    kept: list[dict[str, Any]]
    scores: dict[str, float | None]
    report: dict[str, Any]


def judge(data: Run | str | Path, *, output_path: str | Path | None = None, **options: Any) -> Judged:
    """Have a model grade the records of a run or a file, and keep those that it finds good.

    Options are those of `self-instruct judge`. A file needs `output_path`, a JSONL file. Judgements are stored in the run
    directory, or beside `output_path`, so the same call resumes after a stop, and a call without a model decides again with
    another `judge_threshold`. Raises UserError for a wrong option or file, EngineLost if the engine failed, and on a signal
    the same exception as `generate`.
    """
    folder = data.folder if isinstance(data, Run) else Path(data)
    place = {"batch_dir": folder} if folder.is_dir() else {"input_path": [folder], "output_path": output_path}
    given = {name: value for name, value in {**place, **options}.items() if value is not None}
    reviewer = judge_of(check_values(given, (CurationOptions, JudgeOptions, *GROUPS), JUDGE_NAMES))
    with handled_signals():
        ended = review(reviewer, ())
    raise_signal(ended.code)
    if ended.code:
        raise EngineLost(ended.text or "the engine failed")
    found = read_predictions(reviewer.path.parent, reviewer.path.name)
    names = [record.id for record, _ in reviewer.dataset]
    means = {name: read_judgement(found.get((name, 0))).mean for name in names}
    report = json.loads(reviewer.report_path.read_bytes())
    return Judged([row for _, row in read_objects(reviewer.kept_path, "the output")], means, report)
