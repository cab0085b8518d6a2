"""Reading sources of any format as examples: the format is told by the content unless it is named, and what cannot be read is
told row by row.

A source is a file, a pipe, a folder of the `datasets` library or a dataset of the Hub. Its rows pass one at a time.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from self_instruct.datasets.containers import Container, open_container
from self_instruct.datasets.example import Example
from self_instruct.datasets.fields import other_output
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.rows import Row, Unreadable, shown
from self_instruct.datasets.schemas import FORMATS, SCHEMAS, Schema, named, of_row, recognise
from self_instruct.errors import UserError
from self_instruct.records import json_line
from self_instruct.runs.layout import PIPE
from self_instruct.user_files import LineError

AUTO = "auto"
INPUT_FORMATS = (AUTO, *FORMATS)
REPAIRS = {
    "nan": "NaN or infinity, which JSON has not, taken as null",
    "bytes": "bytes, which JSON has not, taken as text in base64",
}
"""What is changed so that a row can be read, in words."""
_LOOKED_AT = 64
_PLACES = 5


@dataclass(frozen=True)
class Source:
    """What is to be read: a path, `-` or a Hub id; a name and a licence that its records carry; its format; its split."""

    path: str
    name: str = ""
    license: str = ""
    format: str = AUTO
    split: str | None = None


@dataclass
class Reader:
    """A source under way. `schema` is None if no row could be read. What was mended is counted as the rows pass, and so are
    rows of another format, by its name.
    """

    source: Source
    container: Container
    schema: Schema | None
    first: list[Row | Unreadable]
    repairs: Counter[str] = field(default_factory=Counter)
    mended: dict[str, list[str]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def columns(self) -> set[str]:
        """The optional columns that its format needs."""
        return set(self.schema.columns) if self.schema else set()

    @property
    def described(self) -> str:
        """What the source was found to be."""
        shown = "stdin" if self.source.path == PIPE else self.source.path
        return (
            f"{shown}: {self.schema.what if self.schema else 'nothing that could be read'}, in {self.container.kind}"
        )

    def rows(self) -> Iterator[tuple[Row, Example] | Unreadable]:
        """Each row with what it says, or what is wrong with it, in order. Can be gone through once."""
        for row in itertools.chain(self.first, self.container.rows):
            if isinstance(row, Unreadable):
                yield row
                continue
            self._count(row)
            try:
                yield row, self._example(row)
            except LineError as error:
                text = shown(row.raw if row.raw is not None else json_line(row.value))
                yield Unreadable(row.place, error.reason, error.problem, text)

    def line(self, row: Row, example: Example, columns: set[str]) -> bytes:
        """The row as a line of ours, without its line break: as it stood, if it is one already and needed no mending."""
        if row.raw is not None and self.is_ours(row) and not row.repairs:
            return row.raw
        return json_line(row_of(example, columns)).removesuffix(b"\n")

    def is_ours(self, row: Row) -> bool:
        """Whether the row is a line that we read as it stands."""
        return row.raw is not None and self._schema_of(row).native

    def told(self) -> list[str]:
        """What was mended, for people: how many rows, and where the first of them are; and how many were of another format."""
        return [
            f"{self.source.path}: {number:,} rows were read as {SCHEMAS[name].what}, which they are"
            for name, number in sorted(self.others.items())
        ] + [
            f"{self.source.path}: {number:,} rows had {REPAIRS[kind]}: {', '.join(self.mended[kind])}"
            + (" ..." if number > _PLACES else "")
            for kind, number in sorted(self.repairs.items())
        ]

    def _example(self, row: Row) -> Example:
        schema = self._schema_of(row)
        example = schema.read(row.value, row.place)
        if self.schema is not None and schema.read is not self.schema.read and schema.name in SCHEMAS:
            self.others[schema.name] += 1
        named = {"source": self.source.name or example.source, "license": self.source.license or example.license}
        return replace(
            example,
            source=named["source"],
            license=named["license"],
            fields=_with_replaced(example, named),
            path=example.path or (f"{self.source.path}#{row.part}" if row.part else self.source.path),
            row=example.row if example.path else row.number,
        )

    def _schema_of(self, row: Row) -> Schema:
        assert self.schema is not None
        if self.source.format in SCHEMAS:  # the user has said it
            return self.schema
        return of_row(self.schema, row.value, row.header or {}, row.place)

    def _count(self, row: Row) -> None:
        self.repairs.update(row.repairs)
        for kind in row.repairs:
            places = self.mended.setdefault(kind, [])
            if len(places) < _PLACES:
                places.append(row.place)


def open_sources(sources: Sequence[Source], option: str = "--input_path") -> list[Reader]:
    """All sources, opened, and their formats found out.

    Raises `UserError`, which names the option, when one cannot be opened or its format not be told, and when no row of any
    could be read.
    """
    twice = next((path for path, number in Counter(source.path for source in sources).items() if number > 1), None)
    if twice is not None:
        why = "the pipe can be read once" if twice == PIPE else "every row of it would be a duplicate"
        raise UserError(f"{option} names {twice} twice, but {why}; give it once")
    readers = [_open(source, option) for source in sources]
    if any(reader.schema for reader in readers):
        return readers
    shown = ", ".join(source.path for source in sources)[:300]
    first = next((row for reader in readers for row in reader.first if isinstance(row, Unreadable)), None)
    if first is None:
        raise UserError(
            f"{option} {shown}: holds no row; give files of instructions, as JSONL with an object on every line"
        )
    number = sum(len(reader.first) for reader in readers)
    raise UserError(f"{option} {shown}: none of {number} rows could be read; {first.place}: {first.problem}")


def _open(source: Source, option: str) -> Reader:
    container = open_container(source.path, source.split, option)
    first, found = list[Row | Unreadable](), list[Row]()
    for row in container.rows:
        first.append(row)
        if isinstance(row, Row):
            found.append(row)
        if len(found) == _LOOKED_AT:
            break
    values = [row.value for row in found]
    if not values:
        schema = None
    elif source.format == AUTO:
        schema = recognise(values, container.header, container.key, source.path)
        if schema is None:
            keys, other = ", ".join(map(str, values[0]))[:200], other_output(values[0], "output")
            rename = f'rename "{other}" to "output", or ' if other else ""
            raise UserError(
                f"{option} {source.path}: no known format has rows with the fields {keys}; {rename}name it by --input_format, "
                f"one of {', '.join(FORMATS)}"
            )
    else:
        schema = named(source.format, values, container.header, source.path)
    return Reader(source, container, schema, first)


def _with_replaced(example: Example, named: Mapping[str, str]) -> dict[str, Any]:
    """The fields, with the source and the licence that another one stands for now; under each name what was there first is
    first.
    """
    fields = dict(example.fields)
    for name, value in named.items():
        before = getattr(example, name)
        if before and before != value:
            earlier = fields.get(name, [])
            fields[name] = (
                [*(earlier if isinstance(earlier, list) else [earlier]), before] if name in fields else before
            )
    return fields
