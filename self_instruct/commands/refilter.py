"""A new dataset from an old run, without generating: python -m self_instruct.refilter OLD_DIR NEW_DIR --rouge_threshold 0.6

Every completion in the old run's journal is judged again, in request order, with the options of that run and those given
here in their place. The old directory is left as it is.
"""

from pathlib import Path

from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.options import OutputOptions
from self_instruct.generation.config import GROUPS, REFILTER_OPTIONS

_BY = {"OLD_DIR": "batch_dir", "NEW_DIR": "output_path"}
_TOLD = {
    "batch_dir": "directory of the old run",
    "output_path": "directory of the new dataset",
    **{name: DEFAULT.format("the run's") for name in REFILTER_OPTIONS if name != "preset"},
    "num_instructions_to_generate": "stop at exactly this many records; a larger number than the run's also judges the "
    "completions that lay beyond its target [default: the run's]",
}
_HELP = "A new dataset from an old run, without generating. What is not given is as it was in that run."
AFTER_FAILURE = "the old directory is as it was; give a new one that is empty"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    given, (old, new) = parse_values(
        argv, _HELP, (*GROUPS, OutputOptions), (*REFILTER_OPTIONS, *_BY.values()), tuple(_BY), _TOLD,
        {shown: [name] for shown, name in _BY.items()},
    )  # fmt: skip
    given = {name: value for name, value in given.items() if name not in _BY.values()}

    from self_instruct.generation.refilter import refilter
    from self_instruct.generation.summary import summarise

    print(summarise(refilter(Path(old), Path(new), given)))
    return 0
