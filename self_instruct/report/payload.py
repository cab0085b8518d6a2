"""Pack the records of the page's table as compressed columns of JSON, so that tens of thousands fit; cut long texts."""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from self_instruct.records import Nearest
from self_instruct.report.analysis import Analysis

# Maximum characters of a task field and of an output in the table; the first pair with which all records fit is used.
_CUTS = ((20_000, 20_000), (4000, 4000), (2000, 2000), (1000, 1000), (700, 400), (400, 200), (200, 80))
ROOM = 9_000_000  # bytes of compressed text in base64; the rest of the page takes under 3 MB


class Payload:
    """The compressed columns as base64 `text`; `longest` the limit in characters, `cut` the number of records cut."""

    def __init__(self, analysis: Analysis, room: int = ROOM) -> None:
        for longest in _CUTS:
            self.longest, self.cut = longest, 0
            self.text = self._packed(analysis)
            if len(self.text) <= room:
                break

    @property
    def note(self) -> str:
        """Return how many texts were cut, and to which length; empty if none was."""
        if not self.cut:
            return ""
        task, output = self.longest
        limit = f"{task:,} characters" + (f", outputs to {output:,}" if output != task else "")
        return f"Texts of {self.cut:,} records are cut to {limit} here; the files hold the full texts."

    def _packed(self, analysis: Analysis) -> str:
        columns = [self._columns(analysis, at) for at in range(len(analysis.inputs))]
        # ASCII escapes can hold lone surrogates; mtime=0 makes the bytes reproducible.
        packed = gzip.compress(json.dumps({"sources": columns}, separators=(",", ":")).encode("ascii"), 6, mtime=0)
        return base64.b64encode(packed).decode("ascii")

    def _columns(self, analysis: Analysis, at: int) -> dict[str, Any]:
        source, near = analysis.inputs[at], analysis.neighbours[at]
        indices = {row.record.id: index for index, row in enumerate(source.rows)}
        rows, task, output = source.rows, *self.longest
        long = (
            max(len(row.record.instruction), len(row.record.input)) > task or len(row.record.output) > output
            for row in rows
        )
        self.cut += sum(long)
        wanted = {item.id for column in near for item in column if item and item.id not in indices}
        return {
            "name": source.name,
            "id": [row.record.id[:200] for row in rows],
            "instruction": [row.record.instruction[:task] for row in rows],
            "input": [row.record.input[:task] for row in rows],
            "output": [row.record.output[:output] for row in rows],
            "length": [len(row.record.instruction) + len(row.record.input) for row in rows],
            "outputLength": [len(row.record.output) for row in rows],
            "category": _folded([row.category for row in rows]),
            "origin": _folded([row.origin for row in rows]),
            "pair": _folded([f"{pair.verb} {pair.noun}" if pair.noun else pair.verb for pair in analysis.pairs[at]]),
            "words": _near(near.words, indices),
            "meaning": _near(near.meaning, indices),
            "known": {name[:200]: source.others[name][:task] for name in sorted(wanted & source.others.keys())},
        }


def _folded(values: Sequence[str | None]) -> dict[str, Any]:
    """Pack a column with few distinct values: the values, and for each row the index of its value, or -1."""
    names = list(dict.fromkeys(value[:200] for value in values if value))
    at = {name: index for index, name in enumerate(names)}
    return {"names": names, "at": [at[value[:200]] if value else -1 for value in values]}


def _near(column: Sequence[Nearest | None], indices: dict[str, int]) -> list[Any]:
    """Pack neighbours: 0 for none, else the index of its row (or its id, if it is not in the table) and the score."""
    return [[indices.get(near.id, near.id[:200]), round(near.score, 4)] if near else 0 for near in column]
