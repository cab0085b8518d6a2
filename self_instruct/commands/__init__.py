"""The commands of `self-instruct COMMAND`, one file each: argv, one call, what a person reads."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from self_instruct.commands.guard import AFTER_FAILURE, guarded
from self_instruct.config.shipped import shipped
from self_instruct.errors import UserError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "generate": "have a model write new records from seed tasks or categories",
        "curate": "keep what passes the filters and is new, of files from anywhere",
        "refilter": "make a new dataset from the journal of a run, with other filters or thresholds",
        "explain": "show why one candidate was kept or dropped",
        "report": "write an HTML page about runs or files",
        "status": "show how a run is doing",
        "judge": "have a model grade the records of a run or of files",
        "self-consistency": "keep the records whose instruction a model can predict from the output",
        "topics": "have a model list topics for the prompts of categories",
        "convert": "convert files from one format to another",
        "merge": "merge several sources into one set without duplicates",
        "clean": "clean and split conversations that were saved from a chat page",
        "lint": "find faults of instruction data, and fix those that have one right answer",
        "decontaminate": "drop records that are in a benchmark",
        "card": "lay out a dataset repository with its card, and push it to the Hub on request",
    }
)
MODULES = {"self-consistency": "consistency"}
"""Modules of commands/ that have another name than their command."""
_OUTPUT_UNCHANGED = "the output is unchanged; run the same command again"
_AFTER_FAILURE = {
    **dict.fromkeys(("convert", "merge", "clean", "lint", "decontaminate", "card", "report"), _OUTPUT_UNCHANGED),
    "curate": f"{_OUTPUT_UNCHANGED}, which reuses the embeddings computed so far",
    "refilter": "the old directory is unchanged; run the command again with a new directory",
}
"""What a message says after a full disk or an early signal, by command; the others continue from their journal."""
DATASETS = ("convert", "merge", "decontaminate", "clean", "lint", "card")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the first argument names, and exits."""
    dispatch(sys.argv[1:] if argv is None else argv, tuple(COMMANDS), "self-instruct")


def dispatch(argv: Sequence[str], names: Sequence[str], program: str) -> None:
    """Runs the command of these names that the first argument gives, and exits."""
    if argv and argv[0] in names:
        run_command(argv[0], argv[1:])
    guarded(lambda: _help(argv, names, program))


def run_command(name: str, argv: Sequence[str]) -> None:
    """Runs a command and exits with its code."""
    command = import_module(f"self_instruct.commands.{MODULES.get(name, name)}")
    guarded(lambda: command.main(argv), _AFTER_FAILURE.get(name, AFTER_FAILURE))


def _help(argv: Sequence[str], names: Sequence[str], program: str) -> int:
    if argv and argv[0] not in ("-h", "--help"):
        raise UserError(f"{argv[0]} is not a command; give one of {', '.join(names)}")
    lines = [f"  {name:<17} {COMMANDS[name]}" for name in names]
    places = f"Prompts, seeds and configurations are in {shipped('configs').parent}"
    print("\n".join([f"usage: {program} COMMAND ...", "", *lines, "", "COMMAND --help says more.", places]))
    return 0
