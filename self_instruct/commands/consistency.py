"""The self-consistency command: a model is shown the output of every record of a run and asked for the instruction.

Records whose instruction is told back well enough are written to a dataset of their own. Predictions are kept, so that
another threshold costs nothing; a model is loaded only for those that are missing.
"""

from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import guarded
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.config.program import command_line
from self_instruct.config.shipped import shipped
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import CONSISTENCY_NAMES, CONSISTENCY_OWN, NOT_OF_THE_RUN, ConsistencyOptions
from self_instruct.runs import logs

_TOLD = {
    **{
        name: DEFAULT.format("the run's")
        for name in CONSISTENCY_NAMES
        if name not in (*NOT_OF_THE_RUN, *CONSISTENCY_OWN)
    },
    "batch_dir": "directory of the run whose records are asked about",
}
_DESCRIPTION = (
    "Keep the records of a run whose instruction a model can tell from the output. Defaults are the run's own values."
)


def run(prompt_path: Path, argv: Sequence[str]) -> None:
    """Runs the launch script and exits with the codes of a generation run. `prompt_path` is what the model reads first."""
    guarded(lambda: _run(prompt_path, argv))


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    return _run(shipped("instruction_io/inverse_prompt.txt"), argv)


def _run(prompt_path: Path, argv: Sequence[str]) -> int:
    groups, by = (*GROUPS, ConsistencyOptions), {"[RUN_DIR]": ["batch_dir"]}
    given, _ = parse_values(argv, _DESCRIPTION, groups, CONSISTENCY_NAMES, tuple(by), _TOLD, by)
    from self_instruct.review.ask import review
    from self_instruct.review.consistency import consistency_of

    consistency = consistency_of(given, prompt_path)
    logs.configure(consistency.config.reporting.log_level)
    ended = review(consistency, command_line())
    if ended.text is not None:
        print(ended.text)
    return ended.code
