"""The judge: python -m self_instruct.judge --batch_dir RUN --model_name_or_path MODEL --judge_threshold 4

A model scores every record, and those that it finds good are written to a dataset of their own. Judgements are stored as they
come in, so a stop costs nothing, and another threshold asks nobody.
"""

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from self_instruct.config.program import command_line
from self_instruct.runs import logs

if TYPE_CHECKING:
    from self_instruct.review.judge import JudgePlan
    from self_instruct.review.predictions import PredictionFile


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    from self_instruct.engines.fleet.world import current_world
    from self_instruct.errors import UserError
    from self_instruct.generation.signals import Interruption
    from self_instruct.review.inquiry import ask, serve
    from self_instruct.review.judge import read_plan
    from self_instruct.review.predictions import PredictionFile, read_predictions

    plan = read_plan(argv)
    logs.configure(plan.config.reporting.log_level)
    world = current_world()
    found = read_predictions(plan.path.parent, plan.path.name)
    if plan.asks:
        plan.check(found)
    elif not found:
        raise UserError(
            f"{plan.path}: holds no judgements yet; give the model that is to judge, by --model_name_or_path or --engine"
        )
    missing = plan.asks and bool(plan.missing(found))
    interruption = Interruption()
    if not world.is_main:
        return serve(plan, world, interruption) if missing else 0
    file = PredictionFile(plan.path.parent, plan.path.name)
    try:
        stopped, failed = ask(plan, file, world, interruption, lambda: None) if missing else (None, False)
        if stopped is None:
            print(_decide(plan, file))
            return 0
        there = len(plan.trials) - len(plan.missing(file.latest))
        print(f"Stopped: {stopped}.\n{there:,} of {len(plan.trials):,} records are judged; the same command goes on.")
        return 128 + interruption.received if interruption.received and not failed else 1
    finally:
        file.close()


def _decide(plan: "JudgePlan", file: "PredictionFile") -> str:
    """Writes the records that stay and the report; what a person reads of it."""
    from self_instruct.review.judgement import read_judgement, statistics, table
    from self_instruct.review.predictions import fingerprint
    from self_instruct.runs.files import put
    from self_instruct.runs.layout import ACCEPTED

    stored = {name: file.latest.get((name, 0)) for name in plan.records}
    of_these = {
        name: item if item is not None and item.record_sha256 == fingerprint(plan.records[name]) else None
        for name, item in stored.items()
    }
    judgements = {name: read_judgement(item) for name, item in of_these.items()}
    kept = [line + b"\n" for record, line in plan.dataset if judgements[record.id].passes(plan.threshold)]
    judges = {(item.model, item.model_revision) for item in of_these.values() if item is not None}
    counts = statistics([judgements[record.id] for record, _ in plan.dataset], plan.threshold)
    counts["repeated"] = len(plan.dataset) - len(judgements)
    counts["judges"] = [{"model": model, "model_revision": revision} for model, revision in sorted(judges)]
    counts["inputs"] = [
        {"path": path} for path in plan.given.get("input_path") or [str(plan.kept.with_name(ACCEPTED))]
    ]
    counts["options"] = {"judge_threshold": plan.threshold, **plan.told_options}
    put(plan.kept, b"".join(kept))
    put(plan.report, (json.dumps(counts, indent=2) + "\n").encode())
    return "\n".join(
        [
            "", table(counts), *_repeated(counts["repeated"]), "",
            f"Files in {plan.kept.parent}:",
            f"  {plan.kept.name:<38} the records that stay, as they stood",
            f"  {plan.path.name:<38} every judgement, word for word, with its record's id",
            f"  {plan.report.name:<38} these counts",
            "Next:",
            "  another threshold, without asking again:",
            f"    {shlex.join(command_line())} --judge_threshold 4",
        ]
    )  # fmt: skip


def _repeated(number: int) -> list[str]:
    """What is said of lines that share their judgement with another."""
    return ["", f"{number:,} records repeat an earlier one's texts and were judged with it."] if number else []
