"""The best-of-n command: self-instruct best-of-n RUN --reward_model MODEL

A run with --num_answers stores several answers to each task. They are scored, the best one becomes the output, and the best and
the worst are a pair for preference training. Scores are stored, so the command continues after a stop.
"""

from collections.abc import Sequence
from pathlib import Path

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import BEST_OF_N_NAMES, BestOfNOptions
from self_instruct.rules.options import VerifyOptions
from self_instruct.runs import logs

_HELP_TEXTS = {
    "batch_dir": "directory of a run with --num_answers",
    "test_seconds": "CPU seconds for each run of an answer with one of its tests; by the clock, ten times as long",
}
_DESCRIPTION = (
    "Choose among the answers that a run with --num_answers has stored, without generating. Where answers agree on a short "
    "final answer, the run's choice stays. With --run_tests, the answer that passes most tests is chosen for the records "
    "that `self-instruct verify` has tests for; with --judged, the answer that `self-instruct judge --all_answers` gave the "
    "highest mean score; with --reward_model, the answer with the highest score for the others. The "
    "records go to best_of_n_instructions.jsonl, with the best and the worst answer marked as a pair."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    groups, by = (BestOfNOptions, *GROUPS), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, BEST_OF_N_NAMES, tuple(by), _HELP_TEXTS, by)
    if not given.get("batch_dir"):
        raise UserError("--batch_dir is missing; give the directory of a run with --num_answers")
    logs.configure(given.get("log_level", "info"))
    from self_instruct.review.best_of_n import best_of_n

    print(best_of_n(Path(given["batch_dir"]), taken(BestOfNOptions, given), taken(VerifyOptions, given)))
    return 0
