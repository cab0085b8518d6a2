"""Write verdicts: accepted records to one JSONL file, drops with their reasons to another.

Both files can be made again from the journal. A launch writes new versions beside the old ones while it replays the journal,
replaces the old files, and appends from there.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from self_instruct.errors import naming
from self_instruct.records import Nearest, json_line
from self_instruct.runs.journal import Entry
from self_instruct.runs.layout import ACCEPTED, REJECTED
from self_instruct.runs.verdict import Verdict


@dataclass(frozen=True)
class Origin:
    """Provenance that all records of a run share: model, format, trigger words, sampling."""

    model: str
    model_revision: str
    format: str
    trigger_words: dict[str, str]
    sampling: dict[str, Any]


class Writer:
    """The two output files of a run directory, written from the start. `origins` has the provenance of each category.

    With `keep_reasoning`, a record has the thought of the completion that holds its output.
    """

    def __init__(
        self, folder: Path, origin: Origin, origins: Mapping[str, Origin] | None = None, keep_reasoning: bool = False
    ) -> None:
        self._keep_reasoning = keep_reasoning
        self._folder, self._origin = folder, asdict(origin)
        self._origins = {name: asdict(item) for name, item in (origins or {}).items()}
        self._files = {name: (folder / f"{name}.part").open("wb") for name in (ACCEPTED, REJECTED)}
        self._published = False

    def write(self, entry: Entry | None, verdicts: list[Verdict]) -> None:
        """Write the verdicts of one completion; `entry` is None for verdicts without a completion."""
        for verdict in verdicts:
            accepted = verdict.drop is None
            name, row = (ACCEPTED, self._accepted) if accepted else (REJECTED, self._rejected)
            with naming(self._folder / name):
                self._files[name].write(json_line(row(entry, verdict)))
        if self._published:
            self._flush()

    def records_before(self) -> int:
        """Return the number of records in the file of the earlier launch."""
        path = self._folder / ACCEPTED
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def publish(self) -> None:
        """Replace the files of an earlier launch; later writes are visible immediately."""
        self._flush()
        self._sync()
        for name in self._files:
            (self._folder / f"{name}.part").replace(self._folder / name)
        self._published = True

    def close(self) -> None:
        """Close both files; before `publish`, the files of the earlier launch stay unchanged.

        Raises OSError if the content cannot be synced to disk.
        """
        with ExitStack() as stack:  # if one step fails, the others still run
            for name, file in self._files.items():
                stack.enter_context(naming(self._folder / name))
                stack.callback(file.close)
                if not self._published:
                    stack.callback((self._folder / f"{name}.part").unlink, missing_ok=True)
            if self._published:
                self._flush()
                self._sync()

    def _flush(self) -> None:
        for name, file in self._files.items():
            with naming(self._folder / name):
                file.flush()

    def _sync(self) -> None:
        for name, file in self._files.items():
            with naming(self._folder / name):
                os.fsync(file.fileno())

    def _accepted(self, entry: Entry | None, verdict: Verdict) -> dict[str, Any]:
        record, source, entry = verdict.record, _source(entry, verdict), verdict.answer or verdict.source or entry
        about = {}
        if source.category is not None:
            topic = source.variables.get("topic")
            about = {"category": source.category, "topic": topic, "variables": source.variables}
        provenance = {
            "id": record.id,
            **about,
            "most_similar": _nearest(verdict.rouge),
            "rouge_l": verdict.rouge.score if verdict.rouge else None,
            "embedding_similarity": verdict.embedding.score if verdict.embedding else None,
            "request": source.request,
            "seed_ids": source.seed_ids,
            "parent_ids": source.parent_ids,
            "depth": source.depth,
            **self._origins.get(source.category or "", self._origin),
            **_completion(source),
        }
        if entry is not None and entry is not source:
            provenance["response"] = response_of(entry)
        if verdict.choice is not None:
            provenance["choice"] = verdict.choice
        if verdict.verification is not None:
            provenance["verification"] = verdict.verification
        thought = {"reasoning_content": (entry or source).turn.thought} if self._keep_reasoning else {}
        return {**_columns(verdict), **thought, "provenance": provenance}

    def _rejected(self, entry: Entry | None, verdict: Verdict) -> dict[str, Any]:
        assert verdict.drop is not None
        source, entry = _source(entry, verdict), verdict.answer or verdict.source or entry
        row = {
            "id": verdict.record.id,
            "stage": verdict.drop.stage,
            "reason": verdict.drop.reason,
            "detail": verdict.drop.detail,
            "nearest": _nearest(verdict.drop.nearest),
            **_columns(verdict),
            "text": verdict.text,
            "request": source.request,
        }
        if source.category is not None:
            row["category"] = source.category
        if entry is not None and entry is not source:
            row["response_request"] = entry.request
        if verdict.verification is not None:
            row["verification"] = verdict.verification
        return row


def _source(entry: Entry | None, verdict: Verdict) -> Entry:
    """Return the completion that contains a candidate."""
    source = verdict.source or verdict.answer or entry
    assert source is not None, "a verdict without a completion has a source"
    return source


def response_of(entry: Entry) -> dict[str, Any]:
    """Return the provenance of an output from a completion of its own."""
    plan = {"request": entry.request, "seed_ids": entry.seed_ids, "parent_ids": entry.parent_ids}
    return {**plan, **_completion(entry)}


def _completion(entry: Entry) -> dict[str, Any]:
    return {
        "finish_reason": entry.finish_reason,
        "tokens": {
            "prompt": entry.prompt_tokens,
            "completion": entry.completion_tokens,
            **({"reasoning": entry.thought_tokens} if entry.thought_tokens else {}),
        },
        "created_at": entry.created_at,
    }


def _columns(verdict: Verdict) -> dict[str, str]:
    record = verdict.record
    return {"instruction": record.instruction, "input": record.input, "output": record.output}


def _nearest(nearest: Nearest | None) -> dict[str, Any] | None:
    return asdict(nearest) if nearest else None
