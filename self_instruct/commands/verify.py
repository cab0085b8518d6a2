"""The verify command: self-instruct verify RUN --model_name_or_path MODEL

A model writes tests for each code answer, a sandbox runs them, and the records whose answers pass are written to a separate
dataset. Tests and results are stored, so the command continues after a stop, and trying another threshold needs no model.
"""

from collections.abc import Sequence

from self_instruct.commands.reviewing import run_review
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.options import CurationOptions
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import VERIFY_NAMES, VERIFY_SAMPLING

_HELP_TEXTS = {
    **{name: DEFAULT.format(value) for name, value in VERIFY_SAMPLING.items()},
    "batch_dir": "directory of the run whose records to verify",
    "output_path": "JSONL file of the kept records of --input_path; tests and counts are written beside it",
    "prompt_path": DEFAULT.format("built in"),
    "verify": DEFAULT.format("python"),
}
_DESCRIPTION = (
    "Keep the records of a run or of files whose code answers pass tests. A model writes the tests from the task and the "
    "signatures in the answer. Answers and tests run in a sandbox that has no network and none of your files. Tests are "
    "vacuous if they also accept an answer that does nothing, or too many mutants: copies of it with one small change. "
    "A record with vacuous tests is not kept. Tests and results are stored; without --model_name_or_path, --engine or "
    "--api_base no model is asked, and the stored tests decide."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    groups, by = (CurationOptions, *GROUPS), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, VERIFY_NAMES, tuple(by), _HELP_TEXTS, by)
    from self_instruct.review.verify import verifier_of

    return run_review(verifier_of(given))
