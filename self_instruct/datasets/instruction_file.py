"""Read instruction files of any format: each row is a task, or an unreadable row with its location and problem.

Reading continues after an unreadable row.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from self_instruct.datasets.example import ASSISTANT, Example, Turn
from self_instruct.datasets.example_texts import parts_of
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Unreadable
from self_instruct.records import Record, json_line

COMPARED = ("instruction", "task", "conversation")
"""Texts of a row that can be compared."""


class Line(NamedTuple):
    """A readable row without its texts: its location, the row's own id as `name`, and the line to write if it is kept."""

    place: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Task:
    """A readable row: its line, the record, whose id is the location, and whether the row has an output of its own. `further`
    are the example's other texts, labelled as by `parts_of`, if they are wanted.
    """

    line: Line
    record: Record
    has_output: bool
    further: tuple[tuple[str, str], ...] = ()

    def compared(self, compare: str | None) -> str:
        """Return the text of the kind `compare`. By default this is the conversation if the row has more than one exchange,
        else the task.
        """
        if compare == "instruction":
            return self.record.instruction
        return self.record.conversation if self.record.conversation and compare != "task" else self.record.task


def read_tasks(sources: Sequence[Source], option: str = "--input_path") -> Iterator[Task | Unreadable]:
    """Yield the rows of sources in any format. Lines in our format stay unchanged.

    Raises UserError if a source cannot be opened, its format is unknown, or no row of any source can be read.
    """
    readers = open_sources(sources, option)
    columns = set[str]().union(*(reader.columns for reader in readers))
    for reader in readers:
        yield from tasks_of(reader, columns)


def tasks_of(
    reader: Reader, columns: set[str], uniform: bool = False, further: bool = False
) -> Iterator[Task | Unreadable]:
    """Yield the rows of an opened source, on request with their `further` texts; `columns` are the optional columns that any
    source needs. Lines in our format stay unchanged unless `uniform` rewrites all.
    """
    for item in reader.rows():
        if isinstance(item, Unreadable):
            yield item
            continue
        row, example = item
        line = (
            json_line(row_of(example, columns)).removesuffix(b"\n") if uniform else reader.line(row, example, columns)
        )
        yield _task(example, row.place, line, further)


def _task(example: Example, place: str, content: bytes, further: bool) -> Task:
    # Ids may repeat across files; locations do not.
    line, output, whole = Line(place, example.id or place, content), example.output, ""
    if example.messages:
        turns = example.turns
        answers = (turn["content"] for turn in turns if turn["role"] == ASSISTANT and turn["content"].strip())
        output = output or next(answers, "")
        whole = "\n".join(map(_text_of, turns)) if not example.is_single_turn else ""
    record = Record(place, example.instruction.strip(), example.input.strip(), output.strip(), conversation=whole)
    if not further:
        return Task(line, record, bool(example.output))
    shown = {example.instruction, example.prompt, example.output}
    others = tuple((part, text) for part, text in parts_of(example) if text not in shown)
    return Task(line, record, bool(example.output), others)


def _text_of(turn: Turn) -> str:
    """Return the text of a turn, followed by its tool calls as JSON."""
    calls = turn.get("tool_calls")
    return f"{turn['content']}\n{json.dumps(calls, ensure_ascii=False)}" if calls else str(turn["content"])
