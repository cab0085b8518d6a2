"""Judge and score records from Python: the functions behind the commands, without argv and without printing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.config.option import taken
from self_instruct.config.parser import check_values
from self_instruct.datasets.data import Data, data_files
from self_instruct.datasets.options import CurationOptions
from self_instruct.engines.base import EngineLost
from self_instruct.engines.fleet.world import current_world
from self_instruct.generation.config import GROUPS
from self_instruct.generation.run import Ended
from self_instruct.generation.signals import handled_signals, raise_signal
from self_instruct.review.ask import review
from self_instruct.review.best_of_n import best_of_n as choose_best
from self_instruct.review.judge import judge_of, read_judgement
from self_instruct.review.options import (
    BEST_OF_N_NAMES,
    JUDGE_NAMES,
    SCORE_NAMES,
    BestOfNOptions,
    JudgeOptions,
    ScoreOptions,
)
from self_instruct.review.predictions import read_predictions
from self_instruct.review.scores import score as score_records
from self_instruct.review.scores import scorer_of
from self_instruct.rules.options import VerifyOptions
from self_instruct.runs.layout import ACCEPTED, BEST_OF_N, BEST_OF_N_REPORT, path_of
from self_instruct.runs.run import Run
from self_instruct.user_files import read_objects


@dataclass(frozen=True)
class Judged:
    """The kept rows, unchanged; the mean score of each record by id, None if unknown; and the counts."""

    kept: list[dict[str, Any]]
    scores: dict[str, float | None]
    report: dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """All rows with their scores, and the counts of the report."""

    rows: list[dict[str, Any]]
    report: dict[str, Any]


def judge(data: Run | str | Path, *, output_path: str | Path | None = None, **options: Any) -> Judged:
    """Have a model grade the records of a run or a file, and keep those that it finds good.

    Options are those of `self-instruct judge`. A file needs `output_path`, a JSONL file. Judgements are stored in the run
    directory, or beside `output_path`, so the same call resumes after a stop, and a call without a model decides again with
    another `judge_threshold`. Raises UserError for a wrong option or file, EngineLost if the engine failed, and on a signal
    the same exception as `generate`. Under `accelerate launch`, only rank 0 works, and the others get no rows.
    """
    folder = data.folder if isinstance(data, Run) else path_of(data, "the data of judge")
    place = {"batch_dir": folder} if folder.is_dir() else {"input_path": [folder], "output_path": output_path}
    given = {name: value for name, value in {**place, **options}.items() if value is not None}
    reviewer = judge_of(check_values(given, (CurationOptions, JudgeOptions, *GROUPS), JUDGE_NAMES))
    with handled_signals():
        ended = review(reviewer, ())
    _raise(ended)
    found = read_predictions(reviewer.path.parent, reviewer.path.name)
    names = [record.id for record, _ in reviewer.dataset]
    means = {name: read_judgement(found.get((name, 0))).mean for name in names}
    report = json.loads(reviewer.report_path.read_bytes())
    return Judged([row for _, row in read_objects(reviewer.kept_path, "the output")], means, report)


def score(data: Data, *, output_path: str | Path | None = None, **options: Any) -> Scored:
    """Add scores by the losses of a small model to rows, as columns: `ifd` and `likelihood`, None where a row has none.

    Options are those of `self-instruct score`. Losses are stored in the directory of a run, or beside `output_path`, a JSONL
    file, so the same call resumes after a stop, and a call without a model computes scores from them; rows or files
    without `output_path` are scored each time. Raises UserError for a wrong option or file, and on a signal the same exception
    as `generate`.
    """
    folder = data.folder if isinstance(data, Run) else Path(data) if isinstance(data, (str, Path)) else None
    if output_path is None and folder is not None and (folder / ACCEPTED).is_file():
        return _scored({**options, "batch_dir": folder})
    with data_files(data, output_path) as (paths, outputs, shown):
        return _scored({**options, "input_path": paths, "output_path": outputs.kept}, shown)


def best_of_n(run: Run | str | Path, **options: Any) -> Scored:
    """Choose among the answers that a run with `num_answers` has stored, and return its records with the best ones as outputs.

    Options are those of `self-instruct best-of-n`: `run_tests`, `judged`, `reward_model`. The scores of a record's answers
    are in its provenance, and in the run directory, as the command writes them. Raises UserError for a wrong option or run.
    """
    folder = run.folder if isinstance(run, Run) else path_of(run, "the run")
    values = check_values({**options, "batch_dir": folder}, (BestOfNOptions, *GROUPS), BEST_OF_N_NAMES)
    choose_best(folder, taken(BestOfNOptions, values), taken(VerifyOptions, values))
    return _read(folder / BEST_OF_N, folder / BEST_OF_N_REPORT)


def _scored(given: Mapping[str, Any], shown: str = "") -> Scored:
    """Score by the given options; the report calls the input `shown` if that is not empty."""
    scorer = scorer_of(check_values(given, (CurationOptions, ScoreOptions, *GROUPS), SCORE_NAMES))
    scorer.inputs = [shown] if shown else scorer.inputs
    if not current_world().is_main:
        return Scored([], {})
    with handled_signals():
        ended = score_records(scorer)
    _raise(ended)
    return _read(scorer.outputs.kept, scorer.outputs.report)


def _read(rows: Path, report: Path) -> Scored:
    return Scored([row for _, row in read_objects(rows, "the output")], json.loads(report.read_bytes()))


def _raise(ended: Ended) -> None:
    """Raise the exception for an ending that is not a success."""
    raise_signal(ended.code)
    if ended.code:
        raise EngineLost(ended.text or "the engine failed")
