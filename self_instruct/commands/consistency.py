"""The self-consistency command: a model is shown the output of every record of a run and asked for the instruction.

Records whose instruction is told back well enough are written to a dataset of their own. Predictions are kept, so that
another threshold costs nothing; a model is loaded only for those that are missing.
"""

import json
import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.commands.guard import guarded
from self_instruct.config.program import command_line
from self_instruct.config.shipped import shipped
from self_instruct.runs import logs

if TYPE_CHECKING:
    from self_instruct.generation.signals import Interruption
    from self_instruct.review.asker import Scorer
    from self_instruct.review.consistency import Plan
    from self_instruct.review.predictions import PredictionFile

_log = logging.getLogger(__name__)


def run(prompt_path: Path, argv: Sequence[str]) -> None:
    """Runs the launch script and exits with the codes of a generation run. `prompt_path` is what the model reads first."""
    guarded(lambda: _run(prompt_path, argv))


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return _run(shipped("instruction_io/inverse_prompt.txt"), argv)


def _run(prompt_path: Path, argv: Sequence[str]) -> int:
    from self_instruct.engines.fleet.world import current_world
    from self_instruct.generation.signals import Interruption
    from self_instruct.review.consistency import read_plan
    from self_instruct.review.inquiry import ask, serve
    from self_instruct.review.predictions import PredictionFile, read_predictions

    plan = read_plan(argv, prompt_path)
    logs.configure(plan.config.reporting.log_level)
    world = current_world()
    found = read_predictions(plan.run.folder)
    plan.check(found)
    interruption = Interruption()
    logs.write_to(plan.run.folder, world.rank)
    if not world.is_main:
        return serve(plan, world, interruption) if plan.missing(found) else 0
    file = PredictionFile(plan.run.folder)
    try:
        scorer = cache(lambda: _load_scorer(plan, file))
        stopped, failed = ask(plan, file, world, interruption, scorer) if plan.missing(file.latest) else (None, False)
        stopped = stopped or _embed(plan, file, scorer, interruption)
        if stopped is None:
            print(_decide(plan, file))
            return 0
        there = len(plan.trials) - len(plan.missing(file.latest))
        print(
            f"Stopped: {stopped}.\n{there:,} of {len(plan.trials):,} predictions are there; the same command goes on."
        )
        return 128 + interruption.received if interruption.received and not failed else 1
    finally:
        file.close()


def _load_scorer(plan: "Plan", file: "PredictionFile") -> "Scorer":
    from self_instruct.errors import UserError
    from self_instruct.novelty.embedding import SentenceEncoder
    from self_instruct.review.asker import Scorer

    words = plan.config.novelty.rouge_tokenizer
    if plan.options.no_embeddings:
        return Scorer(tokenizer=words)
    name = plan.embedding_model(file.latest)
    try:
        return Scorer(SentenceEncoder(name), name, words)
    except UserError as error:
        raise UserError(f"{error}; or leave embeddings out by --no_embeddings") from error


def _embed(
    plan: "Plan", file: "PredictionFile", scorer: "Callable[[], Scorer]", interruption: "Interruption"
) -> str | None:
    """Adds the cosines that stored predictions lack; why that ended early, or None."""
    if plan.options.no_embeddings:
        return None
    name = plan.embedding_model(file.latest)
    used = [file.latest[trial] for trial in plan.trials if trial in file.latest]
    lacking = [item for item in used if item.prediction is not None and item.embedding_model != name]
    if not lacking:
        return None
    instructions = {name: record.instruction for name, record in plan.records.items()}
    return scorer().rescore(file, lacking, instructions, interruption.reason)


def _decide(plan: "Plan", file: "PredictionFile") -> str:
    """Writes the records that stay and the report; what a person reads of it."""
    from self_instruct.records import json_line
    from self_instruct.review.agreement import Thresholds, agreement, statistics, table
    from self_instruct.runs.files import put
    from self_instruct.runs.layout import CONSISTENCY_REPORT, CONSISTENT, PREDICTIONS

    options, folder = plan.options, plan.run.folder
    cosine = None if options.no_embeddings else options.self_consistency_threshold
    thresholds = Thresholds(cosine, options.self_consistency_rouge_threshold)
    used = {name: [file.latest[name, trial] for trial in range(options.num_trials)] for name in plan.records}
    agreements = {
        name: agreement(items, options.self_consistency_rule, not options.no_embeddings)
        for name, items in used.items()
    }
    kept = []
    for record, row in plan.dataset:
        found = agreements[record.id]
        if thresholds.objection(found) is None:
            scores = {"embedding": found.embedding, "rouge_l": found.rouge_l, "trials": found.trials}
            kept.append(json_line({**row, "provenance": {**row["provenance"], "self_consistency": scores}}))
    everything = [item for items in used.values() for item in items]
    counts = statistics(list(agreements.values()), everything, thresholds, options.self_consistency_rule)
    counts["options"] = {**asdict(options), **plan.told_options}
    put(folder / CONSISTENT, b"".join(kept))
    put(folder / CONSISTENCY_REPORT, (json.dumps(counts, indent=2) + "\n").encode())
    other = "--self_consistency_rouge_threshold 0.3" if cosine is None else "--self_consistency_threshold 0.6"
    unused = len({item.trial for item in file.latest.values()} - set(range(options.num_trials)))
    return "\n".join(
        [
            "", table(counts), "",
            *([f"{unused} more trials are stored and were not used; --num_trials takes them."] if unused else []),
            f"Files in {folder}:",
            f"  {CONSISTENT:<38} the records that stay",
            f"  {PREDICTIONS:<38} every prediction with its scores",
            f"  {CONSISTENCY_REPORT:<38} these counts",
            "Next:",
            "  another threshold, without asking again:",
            f"    {shlex.join(command_line())} {other}",
        ]
    )  # fmt: skip
