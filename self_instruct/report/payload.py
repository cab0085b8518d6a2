"""The records of the page's table: columns of JSON, compressed, so that tens of thousands fit; long texts are cut and told.

Knows nothing of how they are shown.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from self_instruct.records import Nearest
from self_instruct.report.analysis import Analysis

# Characters of instruction and input, and of the output, that the table keeps: the first pair with which all fit.
_CUTS = ((20_000, 20_000), (4000, 4000), (2000, 2000), (1000, 1000), (700, 400), (400, 200), (200, 80))
ROOM = 9_000_000  # bytes of compressed text in base64; the rest of the page has under 3 MB


class Payload:
    """The compressed columns as base64 `text`; `cut` says which characters were kept at most, and of how many records."""

    def __init__(self, analysis: Analysis, room: int = ROOM) -> None:
        for longest in _CUTS:
            self.longest, self.cut = longest, 0
            self.text = self._packed(analysis)
            if len(self.text) <= room:
                break

    @property
    def note(self) -> str:
        """How many texts were cut, and to how many characters; empty if none was."""
        if not self.cut:
            return ""
        task, output = self.longest
        limit = f"{task:,} characters" + (f", outputs to {output:,}" if output != task else "")
        return f"Texts of {self.cut:,} records are cut to {limit} here; the files have them whole."

    def _packed(self, analysis: Analysis) -> str:
        columns = [self._columns(analysis, at) for at in range(len(analysis.inputs))]
        # Escaped as ASCII, JSON holds any text, lone surrogates too; no time, so that equal pages are equal bytes.
        packed = gzip.compress(json.dumps({"sources": columns}, separators=(",", ":")).encode("ascii"), 6, mtime=0)
        return base64.b64encode(packed).decode("ascii")

    def _columns(self, analysis: Analysis, at: int) -> dict[str, Any]:
        source, near = analysis.inputs[at], analysis.neighbours[at]
        places = {row.record.id: place for place, row in enumerate(source.rows)}
        rows, task, output = source.rows, *self.longest
        long = (
            max(len(row.record.instruction), len(row.record.input)) > task or len(row.record.output) > output
            for row in rows
        )
        self.cut += sum(long)
        wanted = {item.id for column in near for item in column if item and item.id not in places}
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
            "words": _near(near.words, places),
            "meaning": _near(near.meaning, places),
            "known": {name[:200]: source.others[name][:task] for name in sorted(wanted & source.others.keys())},
        }


def _folded(values: Sequence[str | None]) -> dict[str, Any]:
    """A column with few different values: these, and the place of each row's among them, -1 for none."""
    names = list(dict.fromkeys(value[:200] for value in values if value))
    at = {name: place for place, name in enumerate(names)}
    return {"names": names, "at": [at[value[:200]] if value else -1 for value in values]}


def _near(column: Sequence[Nearest | None], places: dict[str, int]) -> list[Any]:
    """Of each row 0 for no neighbour, else its place among the rows, or its id, and the score."""
    return [[places.get(near.id, near.id[:200]), round(near.score, 4)] if near else 0 for near in column]
