"""File names of a run directory and of the outputs of dataset commands that several modules need."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from self_instruct.config.parser import brief_repr
from self_instruct.errors import UserError

JOURNAL = "completions.jsonl"
ACCEPTED = "machine_generated_instructions.jsonl"
REJECTED = "rejected.jsonl"
REPORT = "report.json"
DESCRIPTION = "run.yaml"
ROWS = "rows.json"
LOGS = "logs"
PUSHED = "pushed.jsonl"
PREDICTIONS = "self_consistency.jsonl"
CONSISTENT = "self_consistent_instructions.jsonl"
JUDGEMENTS = "judgements.jsonl"
JUDGED = "judged_instructions.jsonl"
EXECUTIONS = "executions.jsonl"
TESTS = "tests.jsonl"
VERIFIED = "verified_instructions.jsonl"
VERIFY_REPORT = "verify_report.json"
ANSWER_SCORES = "answer_scores.jsonl"
BEST_OF_N = "best_of_n_instructions.jsonl"
BEST_OF_N_REPORT = "best_of_n_report.json"
SCORES = "scores.jsonl"
SCORED = "scored_instructions.jsonl"
SCORE_REPORT = "score_report.json"
CONSISTENCY_REPORT = "self_consistency_report.json"
JUDGE_REPORT = "judge_report.json"
PIPE = "-"
"""The path that means standard input or standard output."""


def check_jsonl(path: str, option: str, *, pipe: bool = False) -> None:
    """Raise UserError unless a JSONL output ends in .jsonl, or is a pipe and `pipe` is true."""
    if path == PIPE:
        if not pipe:
            raise UserError(
                f"{option} -: other files are put beside the output, so it cannot be a pipe; give a name that ends in .jsonl"
            )
    elif not path.endswith(".jsonl"):
        raise UserError(f"{option} {path}: is written as JSONL; give a name that ends in .jsonl")


def records_of(path: Path) -> Path:
    """Return the file of accepted records if the path is a run directory, else the path."""
    records = path / ACCEPTED
    return records if records.is_file() else path


def path_of(value: object, name: str) -> Path:
    """Return an argument as a path. Raises UserError, naming the argument, if it is none."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise UserError(f"{name} is {brief_repr(value)}, but must be a path")
    return Path(value)


def records_in(paths: Sequence[str]) -> list[str]:
    """Return the paths, with its file of accepted records for a run directory."""
    return [str(records_of(Path(path))) if os.path.isdir(path) else path for path in paths]


def nothing_kept(folder: Path) -> str:
    """Return what to say of a run without records."""
    return (
        f"the run kept no record; {folder / REJECTED} holds every dropped candidate with its reason. Generate more, with other "
        "options, before you use its records"
    )


@dataclass(frozen=True)
class OutputPaths:
    """The output files of a dataset command: `kept`, and the others beside it under its name."""

    kept: Path

    @property
    def rejected(self) -> Path:
        """The dropped lines."""
        return self.beside(".rejected.jsonl")

    @property
    def report(self) -> Path:
        """The counts."""
        return self.beside(".report.json")

    @property
    def judge_report(self) -> Path:
        """The counts of a judge."""
        return self.beside(f".{JUDGE_REPORT}")

    def check_inputs(self, inputs: Sequence[str], option: str) -> None:
        """Raise UserError if an output would overwrite an input; a pipe overwrites nothing."""
        if str(self.kept) == PIPE:
            return
        for path in map(Path, inputs):
            for output in (self.kept, self.rejected, self.report):
                if path == output or (path.exists() and output.exists() and path.samefile(output)):
                    raise UserError(f"{option} {path}: would be overwritten by the output; give another output path")

    @property
    def vectors(self) -> Path:
        """The cached embeddings."""
        return self.beside(".embeddings.cache")

    def beside(self, ending: str) -> Path:
        """Return the path of a file beside the output."""
        return self.kept.with_name(self._stem + ending)

    @property
    def _stem(self) -> str:
        return self.kept.stem if self.kept.suffix in (".jsonl", ".json", ".parquet") else self.kept.name
