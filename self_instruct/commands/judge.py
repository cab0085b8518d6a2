"""The judge: self-instruct judge RUN --model_name_or_path MODEL --judge_threshold 4

A model scores every record, and the records judged good are written to a separate dataset. Judgements are stored as they
arrive, so the command can be continued after a stop, and another threshold needs no model.
"""

from collections.abc import Sequence

from self_instruct.commands.reviewing import run_review
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.options import CurationOptions
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import JUDGE_NAMES, JUDGE_SAMPLING, JudgeOptions

_HELP_TEXTS = {
    **{name: DEFAULT.format(value) for name, value in JUDGE_SAMPLING.items()},
    "batch_dir": "directory of the run whose records to judge",
    "output_path": "JSONL file of the kept records of --input_path; judgements and counts are written beside it",
    "prompt_path": DEFAULT.format("built in"),
}
_DESCRIPTION = (
    "Grade the records of a run or of a file with a model: helpful, correct and clear from 1 to 5, and good or bad overall. A "
    "judgement that cannot be parsed counts as unknown, and its record is dropped. Judgements are stored; without "
    "--model_name_or_path, --engine or --api_base no model is asked, and --judge_threshold is applied to the stored judgements."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    groups, by = (CurationOptions, JudgeOptions, *GROUPS), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, JUDGE_NAMES, tuple(by), _HELP_TEXTS, by)
    from self_instruct.review.judge import judge_of

    return run_review(judge_of(given))
