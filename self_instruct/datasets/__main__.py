"""Datasets: python -m self_instruct.datasets convert | merge | decontaminate | card ..."""

import sys
from collections.abc import Sequence
from importlib import import_module

from self_instruct.cli import guarded
from self_instruct.errors import UserError

COMMANDS = {
    "convert": "one or more files of any format into one of another",
    "merge": "several sources into one set, without duplicates and with the provenance of every record",
    "decontaminate": "a set without the records that are in a benchmark",
    "clean": "conversations saved from a chat page, cleaned and split",
    "lint": "faults of instruction data, counted and shown; those with one right answer mended on request",
    "card": "a dataset repository with its card, and on request its way to the Hub",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command that the first argument names and returns its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        told = [f"  {name:<15} {what}" for name, what in COMMANDS.items()]
        print(
            "\n".join(
                ["usage: python -m self_instruct.datasets COMMAND ...", "", *told, "", "COMMAND --help says more."]
            )
        )
        return 0
    if argv[0] not in COMMANDS:
        raise UserError(f"{argv[0]} is no command; give one of {', '.join(COMMANDS)}")
    return import_module(f"self_instruct.datasets.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    guarded(lambda: main(sys.argv[1:]), "the output is as it was; the same command begins anew")
