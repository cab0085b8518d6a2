"""Find faults in sources of any format, row by row, and fix those that have one right answer.

A line in our format that needs no fix is written unchanged. Fixes are counted by fault.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from self_instruct.datasets.defects import CHECKS, DUPLICATE, TURN_ORDER, Exchange
from self_instruct.datasets.example import ASSISTANT, TOOL, USER, Example, Turn
from self_instruct.datasets.fixing import fixed
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.pipeline import ReadRow, Result, Step, open_pipeline
from self_instruct.datasets.reading import Reader, Source
from self_instruct.datasets.rows import Row
from self_instruct.records import json_line
from self_instruct.runs.tally import Tally

_LONGEST = 300  # characters of a text that is shown


@dataclass
class Findings:
    """Counts of rows by fault, the first findings as location and text, the `clean` rows without findings, and the fixes."""

    options: Mapping[str, Any]
    tally: Tally = field(default_factory=Tally)
    clean: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    fixed_rows: int = 0
    fixed: Counter[str] = field(default_factory=Counter)
    sources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def unreadable(self) -> dict[str, int]:
        """Rows that could not be read, by reason."""
        return self.tally.by_stage(["read"])["read"]

    @property
    def names(self) -> Sequence[str]:
        """The faults to look for."""
        names: Sequence[str] = self.options["checks"]
        return names

    def add(self, name: str, place: str, text: str) -> None:
        """Count a row with this fault."""
        self.counts[name] += 1
        shown = self.first.setdefault(name, [])
        if len(shown) < self.options["examples"]:
            shown.append((place, text[:_LONGEST]))

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for the report, including faults that were not found."""
        return {
            "inputs": self.sources,
            "rows": self.tally.kept,
            "without_findings": self.clean,
            "unreadable": self.unreadable,
            "findings": {
                name: {
                    "rows": self.counts[name],
                    "examples": [{"place": place, "text": text} for place, text in self.first.get(name, [])],
                }
                for name in self.names
            },
            "fixed": {"rows": self.fixed_rows, "faults": dict(sorted(self.fixed.items()))},
            "options": dict(self.options),
        }


def lint(sources: Sequence[Source], options: Mapping[str, Any], output: str | None, report: str | None) -> Findings:
    """Look for the faults in the option `checks`, and keep the first `examples` of each. With `output`, also fix faults that
    have one right answer and write every row.

    The counts go to `report`, or beside the output. Raises UserError if nothing can be read or written.
    """
    findings = Findings(options)
    with open_pipeline(sources, output, report=report) as pipeline:
        columns, seen = pipeline.columns, dict[bytes, str]()
        for reader in pipeline.readers:
            tally = pipeline.run(reader.rows(), _Lint(reader, columns, findings, seen, fix=output is not None))
            findings.sources.append(
                {
                    "path": reader.source.label,
                    "format": reader.schema and reader.schema.name,
                    "rows": tally.kept,
                    "unreadable": tally.dropped("read"),
                }
            )
            findings.tally = Tally.sum([findings.tally, tally])
        pipeline.report = findings.as_dict()
    return findings


class _Lint(Step[ReadRow]):
    """Look for faults in each row, and with `fix` write the fixed row."""

    def __init__(
        self, reader: Reader, columns: set[str], findings: Findings, seen: dict[bytes, str], *, fix: bool
    ) -> None:
        self._reader, self._columns, self._findings, self._seen, self._fix = reader, columns, findings, seen, fix

    def apply_to(self, row: ReadRow) -> Result:
        _find_faults(*row, self._findings, self._seen)
        return Result([_fixed_line(self._reader, *row, self._columns, self._findings)] if self._fix else [])


def exchanges_of(example: Example, stated_input: str) -> Iterator[Exchange]:
    """Yield the exchanges of an example in order. `stated_input` is the input as in its row."""
    if not example.messages:
        yield Exchange("", example.instruction, stated_input, example.output)
        return
    asked: str | None = None
    contents = tuple(turn["content"] for turn in example.messages)
    for at, turn in enumerate(example.messages):
        if turn["role"] == USER:
            if asked is not None:
                yield Exchange("", asked, "", "", before=contents[: at - 1])
            asked = turn["content"]
        elif turn["role"] == ASSISTANT and not turn.get("tool_calls"):
            # An answer after a tool's turn or another answer has no question.
            if asked is not None:
                yield Exchange("", asked, "", turn["content"], before=contents[: at - 1])
            asked = None
    if asked is not None:
        yield Exchange("", asked, "", "", before=contents[:-1])


def wrong_order(turns: Sequence[Turn]) -> str | None:
    """Return a description of the first turn that breaks the order of user and assistant, or None.

    Turns of other roles may be anywhere. Tool calls may take several turns, and a tool result needs a call before it.
    """
    before: Turn | None = None
    for number, turn in enumerate(turns, start=1):
        role, said = turn["role"], before["role"] if before else None
        if role not in (USER, ASSISTANT, TOOL):
            continue
        calls = bool(turn.get("tool_calls") or (before or {}).get("tool_calls"))
        if role == ASSISTANT and (said is None or (said == ASSISTANT and not calls)):
            return f"turn {number} is an answer {'without a question' if said is None else 'after another answer'}"
        if role == USER and said == USER:
            return f"turn {number} is a question after another question"
        if role == TOOL and said in (None, USER):
            return f"turn {number} is the result of a tool that was not called"
        before = turn
    return None


def _stated_input(row: Row, example: Example) -> str:
    """Return the input as in the row. Readers replace placeholders such as "<noinput>" by an empty text."""
    stated = row.value.get("input")
    return stated if isinstance(stated, str) and not example.input and not example.messages else example.input


def _find_faults(row: Row, example: Example, findings: Findings, seen: dict[bytes, str]) -> None:
    found = dict[str, str]()
    exchanges = list(exchanges_of(example, _stated_input(row, example)))
    for name in findings.names:
        if name in CHECKS:
            text = next((text for one in exchanges if (text := CHECKS[name].find(one)) is not None), None)
            if text is not None:
                found[name] = text
    if TURN_ORDER in findings.names and (text := wrong_order(example.messages)) is not None:
        found[TURN_ORDER] = text
    if DUPLICATE in findings.names:
        texts = json.dumps([example.system, *([one.instruction, one.input, one.output] for one in exchanges)])
        first = seen.setdefault(hashlib.blake2b(texts.encode(), digest_size=16).digest(), row.place)
        if first != row.place:
            found[DUPLICATE] = f"the same as {first}"
    for name, text in found.items():
        findings.add(name, row.place, text)
    findings.clean += not found


def _fixed_line(reader: Reader, row: Row, example: Example, columns: set[str], findings: Findings) -> bytes:
    """Return the fixed row as a line in our format."""
    better, names = fixed_example(example, _stated_input(row, example))
    if not names:
        return reader.line(row, example, columns)
    findings.fixed.update(sorted(names))
    findings.fixed_rows += 1
    if reader.is_ours(row) and not example.messages and "instances" not in row.value:
        texts = {name: getattr(better, name) for name in ("instruction", "input", "output", "system")}
        line = json_line({**row.value, **{name: text for name, text in texts.items() if row.value.get(name)}})
    else:
        line = json_line(row_of(better, columns))
    return line.removesuffix(b"\n")


def fixed_example(example: Example, stated_input: str) -> tuple[Example, set[str]]:
    """Return the example with every text fixed, and the names of the fixed faults."""
    names = set[str]()

    def text(value: str, *, is_input: bool = False) -> str:
        better, gone = fixed(value, is_input=is_input)
        names.update(gone)
        return better

    better = replace(
        example,
        instruction=text(example.instruction),
        input=text(stated_input, is_input=True),
        output=text(example.output),
        system=text(example.system),
        messages=tuple({**turn, "content": text(turn["content"])} for turn in example.messages),
    )
    return better, names
