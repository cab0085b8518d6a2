"""What the judge and verify share: read the records of a run or of files, and choose the output paths."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from self_instruct.config.option import declarations
from self_instruct.datasets.instruction_file import Task, read_tasks
from self_instruct.datasets.reading import Source
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, Config, assemble
from self_instruct.records import Record
from self_instruct.review.ask import Reviewer
from self_instruct.review.predictions import Prediction, Trial, sha256_of_record
from self_instruct.runs.layout import ACCEPTED, OutputPaths, check_jsonl

_ASKING = ("model_name_or_path", "engine", "script_path", "api_base")


@dataclass(frozen=True)
class ReviewPaths:
    """The paths of a reviewer's files: the answers, the kept records and the counts."""

    answers: Path
    kept: Path
    report: Path


@dataclass
class DatasetReviewer(Reviewer):
    """Reviews the records of `dataset`, which holds each record with its original line.

    The model is asked once about a record that is on several lines, and the decision applies to all of them. `answer_noun` is
    the word for the model's answers in messages.
    """

    dataset: Sequence[tuple[Record, bytes]]
    inputs: Sequence[str]
    outputs: ReviewPaths

    answer_noun: ClassVar[str]

    @property
    def path(self) -> Path:
        """The file of the answers."""
        return self.outputs.answers

    @property
    def kept_path(self) -> Path:
        """The file of the kept records."""
        return self.outputs.kept

    @property
    def report_path(self) -> Path:
        """The report, a JSON file of counts."""
        return self.outputs.report

    @property
    def asks(self) -> bool:
        """Whether the options name a model."""
        return any(name in self.given for name in _ASKING)

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Check stored answers if a model is given; without one, raise UserError if there are no answers."""
        if self.asks:
            super().check(found)
        elif not found:
            raise UserError(
                f"{self.path}: holds no {self.answer_noun} yet; give a model with --model_name_or_path, --engine or --api_base"
            )

    def current(self, found: Mapping[Trial, Prediction]) -> dict[str, Prediction | None]:
        """Return the stored answer about each record, by id; None if there is none, or if the record has changed since."""
        stored = {name: found.get((name, 0)) for name in self.records}
        return {
            name: item if item is not None and item.record_sha256 == sha256_of_record(self.records[name]) else None
            for name, item in stored.items()
        }


def read_sources(
    given: Mapping[str, Any], verb: str, names: Sequence[str], endings: Sequence[str]
) -> tuple[list[tuple[Record, bytes]], list[str], ReviewPaths]:
    """Return the records of a run or of files with their lines, the input paths, and the output paths.

    `names` are the file names in a run directory (answers, kept records, report), and `endings` the suffixes of the files
    beside an output file (answers, report). `verb` is for messages. Raises UserError for a wrong option, and for records that
    cannot be read.
    """
    folder, inputs, output = given.get("batch_dir"), given.get("input_path"), given.get("output_path")
    if bool(folder) == bool(inputs):
        problem = "both are given" if folder else "neither is given"
        raise UserError(f"--batch_dir RUN or --input_path FILES: {problem}; give one of them")
    if inputs and not output:
        raise UserError("--output_path is missing; give a JSONL file for the kept records")
    if folder:
        outputs, sources = _of_run(Path(folder), output, verb, names)
    else:
        outputs, sources = _of_files(list(inputs or []), str(output), endings)
    return _dataset(sources, folder is not None), sources, outputs


def _of_run(folder: Path, output: str | None, verb: str, names: Sequence[str]) -> tuple[ReviewPaths, list[str]]:
    """Return the output paths for a run, and the path of its records. Raises UserError if there is no run, or an output is
    given.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{folder}: is a file, not the directory of a run; to {verb} its records, give --input_path {folder} "
            "--output_path KEPT.jsonl"
        )
    if output is not None:
        raise UserError(
            f"--output_path {output}: the kept records of a run go to {names[1]} in its directory; leave it out"
        )
    if not (folder / ACCEPTED).is_file():
        raise UserError(f"{folder}: holds no {ACCEPTED}; give the directory of a generation run")
    return ReviewPaths(*(folder / name for name in names)), [str(folder / ACCEPTED)]


def _of_files(inputs: list[str], output: str, endings: Sequence[str]) -> tuple[ReviewPaths, list[str]]:
    """Return the output paths for files, and the files. Raises UserError if an output would replace one of them."""
    check_jsonl(output, "--output_path")
    beside = OutputPaths(Path(output))
    outputs = ReviewPaths(beside.beside(endings[0]), beside.kept, beside.beside(endings[1]))
    for path in map(Path, inputs):
        for written in (outputs.kept, outputs.answers, outputs.report):
            if path == written or (path.exists() and written.exists() and path.samefile(written)):
                raise UserError(f"--input_path {path}: would be replaced by the output; give another --output_path")
    return outputs, inputs


def model_config(given: Mapping[str, Any], sampling: Mapping[str, Any], demonstrations: int) -> Config:
    """Return the configuration of the model, with `sampling` as defaults and this number of demonstrations."""
    known = declarations(GROUPS)
    values = {
        name: value for name, value in given.items() if name in known and name not in ("batch_dir", "prompt_path")
    }
    return assemble(
        {**sampling, "num_prompt_instructions": demonstrations, "num_prompt_synthetic_instructions": 0, **values}
    )


def _dataset(sources: Sequence[str], of_run: bool) -> list[tuple[Record, bytes]]:
    """Return every line in order with its record, whose id is the line's or a hash of its texts. `of_run` says that the source
    is the dataset of --batch_dir.

    Raises UserError for a line that cannot be read, and if two different records have the same id.
    """
    found, dataset = dict[str, Record](), list[tuple[Record, bytes]]()
    for task in read_tasks([Source(path) for path in sources], "--batch_dir" if of_run else "--input_path"):
        if not isinstance(task, Task):
            raise UserError(f"{task.place}: {task.problem}; fix the line, or curate the file first")
        texts = (task.record.instruction, task.record.input, task.record.output)
        name = task.line.name
        if name == task.line.place:  # made from the line number, which changes with other lines
            name = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        record = found.setdefault(name, Record(name, *texts))
        if record != Record(name, *texts):
            raise UserError(
                f"{task.line.place}: has the id {name} of an earlier, different record; give each record its own id, or none"
            )
        dataset.append((record, task.line.content))
    return dataset
