"""The journal of predictions: one field of a record as a model predicts it from the other fields.

Each prediction is one JSON line, identified by its record and trial. Of several lines for one trial the last counts, so a
score can be added later.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from self_instruct.engines.base import with_thoughts
from self_instruct.records import Record
from self_instruct.runs.files import AppendedFile, line_reader, read_lines
from self_instruct.runs.layout import PREDICTIONS

ERROR = "error"
_KINDS: dict[str, type] = {
    "record": str, "record_sha256": str, "trial": int, "model": str, "model_revision": str, "options": dict,
    "header_sha256": str, "text": str, "finish_reason": str, "execution": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """The result of one trial: `prediction` is the predicted field, or None with a `reason`.

    `rouge_l` is the ROUGE-L F1 of the record's instruction and the predicted one, `embedding` the cosine of their embeddings by
    `embedding_model`, and `execution` the result of running the predicted tests. Besides the model, `options` and the header's
    hash determine the prediction.
    """

    record: str
    record_sha256: str
    trial: int
    prediction: str | None
    reason: str | None
    rouge_l: float | None
    embedding: float | None
    embedding_model: str | None
    model: str
    model_revision: str
    options: dict[str, Any]
    header_sha256: str
    prompt_sha256: str
    seed_ids: list[str]
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    rank: int
    created_at: str | None
    error: str | None = None
    usage: dict[str, Any] | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    execution: dict[str, Any] | None = None


Trial = tuple[str, int]
_read_prediction = line_reader(Prediction, _KINDS, "a prediction")


class PredictionFile:
    """The predictions of a run directory, opened for appending. `latest` holds them by record id and trial.

    Raises `UserError` if another process has it open, it cannot be written, or most of its lines are damaged.
    """

    def __init__(self, folder: Path, name: str = PREDICTIONS) -> None:
        self._file = AppendedFile(folder / name, _read_prediction)
        self.latest: dict[Trial, Prediction] = _latest(self._file.found)

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Write predictions, and return when they are on disk."""
        self._file.append(_row(item) for item in predictions)
        self.latest.update(_latest(predictions))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_predictions(folder: Path, name: str = PREDICTIONS) -> dict[Trial, Prediction]:
    """Return the predictions of a directory by record id and trial, empty without a file; the directory is not changed."""
    path = folder / name
    return _latest(read_lines(path, _read_prediction).found) if path.is_file() else {}


def answered(found: Mapping[Trial, Prediction], trial: Trial) -> bool:
    """Return whether a trial has an answer; an engine error does not count as one."""
    return trial in found and found[trial].reason != ERROR


def sha256_of_record(record: Record) -> str:
    """Return the SHA-256 of all texts of a record."""
    return hashlib.sha256(json.dumps([record.instruction, record.input, record.output]).encode()).hexdigest()


def header_hash(header: str) -> str:
    """Return the SHA-256 of the prompt's header."""
    return hashlib.sha256(header.encode("utf-8", "surrogatepass")).hexdigest()


def _row(item: Prediction) -> dict[str, Any]:
    row = with_thoughts(asdict(item))
    if item.execution is None:
        del row["execution"]
    return row


def _latest(predictions: Iterable[Prediction]) -> dict[Trial, Prediction]:
    return {(item.record, item.trial): item for item in predictions}
