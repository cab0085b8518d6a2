"""Make a new dataset from a run, without generating: self-instruct refilter OLD_DIR NEW_DIR --rouge_threshold 0.6

Every completion in the old run's journal is parsed and filtered again, in request order, with the options of that run except
those given here. The old directory is not changed.
"""

from pathlib import Path

from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.options import OutputOptions
from self_instruct.generation.config import GROUPS, REFILTER_OPTIONS

_BY = {"OLD_DIR": "batch_dir", "NEW_DIR": "output_path"}
_HELP_TEXTS = {
    "batch_dir": "directory of the old run",
    "output_path": "directory of the new dataset",
    **{name: DEFAULT.format("the run's") for name in REFILTER_OPTIONS if name != "preset"},
    "num_instructions_to_generate": "stop at exactly this many records; with a larger number than the run's, also use the "
    "completions beyond its target [default: the run's]",
}
_HELP = "Make a new dataset from a run, without generating. Options default to the values of that run."


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    given, (old, new) = parse_values(
        argv, _HELP, (*GROUPS, OutputOptions), (*REFILTER_OPTIONS, *_BY.values()), tuple(_BY), _HELP_TEXTS,
        {shown: [name] for shown, name in _BY.items()},
    )  # fmt: skip
    given = {name: value for name, value in given.items() if name not in _BY.values()}

    from self_instruct.generation.refilter import refilter
    from self_instruct.generation.summary import summarise

    print(summarise(refilter(Path(old), Path(new), given)))
    return 0
