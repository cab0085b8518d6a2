"""The commands of `self-instruct COMMAND`, one module each: parse argv, call one function, print the result."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from self_instruct.commands.guard import AFTER_FAILURE, guarded
from self_instruct.config.shipped import shipped
from self_instruct.errors import UserError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "generate": "generate records with a model, from seed tasks or categories",
        "tune": "find the recipe and options with which a model writes the most useful records",
        "curate": "filter and deduplicate instruction files of any format",
        "refilter": "make a new dataset from a run with other filters or thresholds, without generating",
        "explain": "show why one candidate was kept or dropped",
        "report": "write an HTML page about runs or files",
        "status": "show the progress of a run",
        "judge": "grade the records of a run or of files with a model",
        "verify": "run the Python answers of a run or of files against tests that a model writes",
        "best-of-n": "choose among the answers of a run by a reward model or by tests",
        "score": "write scores of difficulty and likelihood by a small model as columns of the rows",
        "select": "choose rows by their scores, and a diverse part of them",
        "self-consistency": "keep the records whose instruction a model can predict from the output",
        "topics": "generate topics for the prompts of categories",
        "convert": "convert files to another format",
        "merge": "merge several sources into one dataset without duplicates",
        "clean": "clean and split conversations that were saved from a chat page",
        "lint": "find common faults of instruction data, and fix the unambiguous ones",
        "decontaminate": "drop records that overlap with a benchmark",
        "card": "write a dataset repository with a card, and optionally upload it to the Hub",
    }
)
MODULES = {"self-consistency": "consistency", "best-of-n": "best_of_n"}
"""Commands whose module has a different name."""
_OUTPUT_UNCHANGED = "the output is unchanged; run the same command again"
_AFTER_FAILURE = {
    **dict.fromkeys(
        ("convert", "merge", "clean", "lint", "decontaminate", "card", "report", "select"), _OUTPUT_UNCHANGED
    ),
    "curate": f"{_OUTPUT_UNCHANGED}, which reuses the embeddings computed so far",
    "refilter": "the old directory is unchanged; run the same command again",
}
"""The end of the message after a full disk or an early signal, by command; other commands continue from their journal."""
DATASETS = ("convert", "merge", "decontaminate", "clean", "lint", "card")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command named by the first argument, and exit."""
    dispatch(sys.argv[1:] if argv is None else argv, tuple(COMMANDS), "self-instruct")


def dispatch(argv: Sequence[str], names: Sequence[str], program: str) -> None:
    """Run the command named by the first argument, which must be one of `names`, and exit."""
    if argv and argv[0] in names:
        run_command(argv[0], argv[1:])
    guarded(lambda: _help(argv, names, program))


def run_command(name: str, argv: Sequence[str]) -> None:
    """Run a command and exit with its code."""
    command = import_module(f"self_instruct.commands.{MODULES.get(name, name)}")
    guarded(lambda: command.main(argv), _AFTER_FAILURE.get(name, AFTER_FAILURE))


def _help(argv: Sequence[str], names: Sequence[str], program: str) -> int:
    if argv and argv[0] not in ("-h", "--help"):
        raise UserError(f"{argv[0]} is not a command; give one of {', '.join(names)}")
    lines = [f"  {name:<17} {COMMANDS[name]}" for name in names]
    files = f"Prompts, seeds and configurations are in {shipped('configs').parent}"
    print(
        "\n".join(
            [f"usage: {program} COMMAND ...", "", *lines, "", "COMMAND --help shows the options of a command.", files]
        )
    )
    return 0
