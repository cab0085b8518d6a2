"""Read instruction files of any format completely: each row is a task, or an unreadable row with its location and problem.

Reading continues after an unreadable row.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.datasets.example import ASSISTANT, Example, Turn
from self_instruct.datasets.example_texts import parts_of
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Unreadable
from self_instruct.records import Record, json_line

COMPARED = ("instruction", "task", "conversation")
"""Texts of a row that can be compared."""


@dataclass(frozen=True, slots=True)
class Task:
    """A readable row: the record, whose id is its location, the row's own id as `name`, and the line to write if it is kept.
    `further` are the example's other texts, labelled as by `parts_of`, if they are wanted.
    """

    record: Record
    name: str
    content: bytes
    further: tuple[tuple[str, str], ...] = ()

    def compared(self, compare: str | None) -> str:
        """Return the text of the kind `compare`. By default this is the conversation if the row has more than one exchange,
        else the task.
        """
        if compare == "instruction":
            return self.record.instruction
        return self.record.conversation if self.record.conversation and compare != "task" else self.record.task


@dataclass(frozen=True)
class InstructionFile:
    """The rows of a source in order, and whether any of them has an output."""

    reader: Reader
    lines: list[Task | Unreadable]
    has_output: bool


def read_files(sources: Sequence[Source], option: str = "--input_path") -> list[InstructionFile]:
    """Return the rows of sources in any format.

    Raises UserError if a source cannot be opened, its format is unknown, or no row of any source can be read.
    """
    return read_all(open_sources(sources, option))


def read_all(readers: Sequence[Reader], *, uniform: bool = False, further: bool = False) -> list[InstructionFile]:
    """Return the rows of opened sources, on request with their `further` texts. Lines in our format stay unchanged unless
    `uniform` rewrites all.
    """
    columns = set[str]().union(*(reader.columns for reader in readers))
    return [read_file(reader, columns, uniform, further) for reader in readers]


def read_file(reader: Reader, columns: set[str], uniform: bool = False, further: bool = False) -> InstructionFile:
    """Return the rows of an opened source as `read_all` does; `columns` are the optional columns that any source needs."""
    lines, has_output = list[Task | Unreadable](), False
    for item in reader.rows():
        if isinstance(item, Unreadable):
            lines.append(item)
            continue
        row, example = item
        line = (
            json_line(row_of(example, columns)).removesuffix(b"\n") if uniform else reader.line(row, example, columns)
        )
        lines.append(_task(example, row.place, line, further))
        has_output = has_output or bool(example.output)
    return InstructionFile(reader, lines, has_output)


def _task(example: Example, place: str, line: bytes, further: bool) -> Task:
    # Ids may repeat across files; locations do not.
    whole = "\n".join(map(_text_of, example.turns)) if not example.is_single_turn else ""
    answers = (turn["content"] for turn in example.turns if turn["role"] == ASSISTANT and turn["content"].strip())
    output = example.output or next(answers, "")
    record = Record(place, example.instruction.strip(), example.input.strip(), output.strip(), conversation=whole)
    if not further:
        return Task(record, example.id or place, line)
    shown = {example.instruction, example.prompt, example.output}
    others = tuple((part, text) for part, text in parts_of(example) if text not in shown)
    return Task(record, example.id or place, line, others)


def _text_of(turn: Turn) -> str:
    """Return the text of a turn, followed by its tool calls as JSON."""
    calls = turn.get("tool_calls")
    return f"{turn['content']}\n{json.dumps(calls, ensure_ascii=False)}" if calls else str(turn["content"])
