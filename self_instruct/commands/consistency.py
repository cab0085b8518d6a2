"""The self-consistency command: show a model the output of every record of a run, and ask it for the instruction.

Records whose instruction is predicted well enough are written to a separate dataset. Predictions are stored, so trying
another threshold needs no model; the model is loaded only if predictions are missing.
"""

from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import guarded
from self_instruct.commands.reviewing import run_review
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.config.shipped import shipped
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import CONSISTENCY_NAMES, CONSISTENCY_OWN, NOT_OF_THE_RUN, ConsistencyOptions

_HELP_TEXTS = {
    **{
        name: DEFAULT.format("the run's")
        for name in CONSISTENCY_NAMES
        if name not in (*NOT_OF_THE_RUN, *CONSISTENCY_OWN)
    },
    "batch_dir": "directory of the run whose records to test",
}
_DESCRIPTION = (
    "Keep the records of a run whose instruction a model can predict from the output. "
    "Options default to the values of the run."
)


def run(prompt_path: Path, argv: Sequence[str]) -> None:
    """Run the launch script and exit with the codes of a generation run. `prompt_path` is the prompt's header."""
    guarded(lambda: _run(prompt_path, argv))


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return _run(shipped("instruction_io/inverse_prompt.txt"), argv)


def _run(prompt_path: Path, argv: Sequence[str]) -> int:
    groups, by = (*GROUPS, ConsistencyOptions), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, CONSISTENCY_NAMES, tuple(by), _HELP_TEXTS, by)
    from self_instruct.review.consistency import consistency_of

    return run_review(consistency_of(given, prompt_path))
