"""Reading files of instructions whole, whoever wrote them: each row is a task, or is told with its place and what is wrong.

A faulty row does not end the reading. Knows nothing of what makes a good task.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.datasets.example import Example
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Unreadable
from self_instruct.records import Record, json_line


@dataclass(frozen=True)
class Task:
    """A row that could be read: the task, whose id is its place, the name that the row gives it, and the line that is written
    if it is kept. `further` are the turns of a conversation after the first exchange.
    """

    record: Record
    name: str
    content: bytes
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class InstructionFile:
    """The rows of a source in order, and whether any of them has an output."""

    reader: Reader
    lines: list[Task | Unreadable]
    has_output: bool


def read_files(sources: Sequence[Source], option: str = "--input_path") -> list[InstructionFile]:
    """What the sources hold, in any format.

    Raises `UserError` when a source cannot be opened or its format not be told, and when no row of any could be read.
    """
    return read_all(open_sources(sources, option))


def read_all(readers: Sequence[Reader], *, uniform: bool = False) -> list[InstructionFile]:
    """Return the rows of opened sources. Lines of ours stay as they are, unless all are to be `uniform`."""
    columns = set[str]().union(*(reader.columns for reader in readers))
    return [_read(reader, columns, uniform) for reader in readers]


def _read(reader: Reader, columns: set[str], uniform: bool) -> InstructionFile:
    lines, has_output = list[Task | Unreadable](), False
    for item in reader.rows():
        if isinstance(item, Unreadable):
            lines.append(item)
            continue
        row, example = item
        line = (
            json_line(row_of(example, columns)).removesuffix(b"\n") if uniform else reader.line(row, example, columns)
        )
        lines.append(_task(example, row.place, line))
        has_output = has_output or bool(example.output)
    return InstructionFile(reader, lines, has_output)


def _task(example: Example, place: str, line: bytes) -> Task:
    # Ids may stand twice in files from several sources; places do not.
    record = Record(place, example.instruction.strip(), example.input.strip(), example.output.strip())
    shown = {example.instruction, example.output}
    further = tuple(turn["content"] for turn in example.messages if turn["content"] not in shown)
    return Task(record, example.id or place, line, further)
