"""The score command: self-instruct score RUN_OR_FILE --model_name_or_path MODEL --scores ifd likelihood

A small model reads every answer with and without its task, and the scores are written as columns of the rows. The losses are
stored as they arrive, so the command continues after a stop, and another score that they determine needs no model.
"""

from collections.abc import Sequence

from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import CurationOptions
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import SCORE_NAMES, ScoreOptions
from self_instruct.runs import logs

_HELP_TEXTS = {
    "batch_dir": "directory of the run whose records to score",
    "output_path": "JSONL file of the scored rows of --input_path; losses and counts are written beside it",
    "max_length": "maximum number of tokens in task and answer together; the end of a longer answer is not counted "
    "[default: the model's context]",
}
_DESCRIPTION = (
    "Write scores of the records of a run or of files as columns of their rows. ifd: the mean loss of the answer's tokens "
    "after the task, divided by their mean loss without it; high means that the task is hard to follow, and 1 or more that "
    "it does not help. likelihood: the geometric mean of the probabilities of the answer's tokens. A small model is enough. "
    "`self-instruct select` chooses rows by their scores. Losses are stored; without --model_name_or_path the scores are "
    "computed from them."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    groups, by = (CurationOptions, ScoreOptions, *GROUPS), {"[RUN_OR_FILE]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, SCORE_NAMES, tuple(by), _HELP_TEXTS, by)
    from self_instruct.review.scores import score, scorer_of

    scorer = scorer_of(given)
    logs.configure(scorer.config.reporting.log_level)
    ended = score(scorer)
    if ended.text is not None:
        print(ended.text)
    return ended.code
