"""The judge: self-instruct judge RUN --model_name_or_path MODEL --judge_threshold 4

A model scores every record, and those that it finds good are written to a dataset of their own. Judgements are stored as they
come in, so a stop costs nothing, and another threshold asks nobody.
"""

from collections.abc import Sequence

from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.config.program import command_line
from self_instruct.datasets.options import CurationOptions
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import JUDGE_NAMES, JUDGE_SAMPLING, JudgeOptions
from self_instruct.runs import logs

_TOLD = {
    **{name: DEFAULT.format(value) for name, value in JUDGE_SAMPLING.items()},
    "batch_dir": "directory of the run whose records are judged",
    "output_path": "JSONL file of the records of --input_path that stay; judgements and counts are put beside it",
    "prompt_path": DEFAULT.format("ours"),
}
_DESCRIPTION = (
    "Let a model judge the records of a run or of a file: helpful, correct and clear from 1 to 5, good or bad. What cannot be "
    "read is unknown, and never good. Judgements are stored; without --model_name_or_path, --engine or --api_base nothing is "
    "asked, and --judge_threshold decides by what is stored. Greedy, unless --temperature says otherwise."
)


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    groups, by = (CurationOptions, JudgeOptions, *GROUPS), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, JUDGE_NAMES, tuple(by), _TOLD, by)
    from self_instruct.review.ask import review
    from self_instruct.review.judge import judge_of

    judge = judge_of(given)
    logs.configure(judge.config.reporting.log_level)
    ended = review(judge, command_line())
    if ended.text is not None:
        print(ended.text)
    return ended.code
