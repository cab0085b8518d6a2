"""Read sources of any format as examples. The format is detected from the content unless it is named; unreadable rows are
reported one by one.

A source is a file, a pipe, a folder of the `datasets` library or a Hub dataset, read one row at a time.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from self_instruct.datasets.containers import Container, open_container
from self_instruct.datasets.example import Example
from self_instruct.datasets.mapping import guessed, mapped
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.rows import Row, Unreadable, shown
from self_instruct.datasets.schemas import FORMATS, SCHEMAS, Schema, named, of_row, recognise, with_columns
from self_instruct.errors import UserError
from self_instruct.records import json_line
from self_instruct.runs.layout import ACCEPTED, PIPE, REJECTED, nothing_kept
from self_instruct.user_files import LineError

AUTO = "auto"
INPUT_FORMATS = (AUTO, *FORMATS)
REPAIRS = {
    "nan": "NaN or infinity, read as null",
    "bytes": "bytes, read as base64 text",
}
"""Changes that make a row readable, by name, with a description."""
_LOOKED_AT = 64
_LOCATIONS = 5


@dataclass(frozen=True)
class Source:
    """A source: a path, `-` or a Hub id; a name and a licence for its records; a format; a split."""

    path: str
    name: str = ""
    license: str = ""
    format: str = AUTO
    split: str | None = None
    map: tuple[tuple[str, str], ...] = ()
    """Names and paths of fields, which take the place of a format."""
    shown: str = ""
    """Name of the source in data and messages; if empty, its path. Rows in memory have one, as their file is temporary."""

    @property
    def label(self) -> str:
        """The name of the source in data and messages."""
        return self.shown or self.path


@dataclass
class Reader:
    """An open source. `schema` is None if no row could be read. Repairs, and rows of other formats, are counted during
    iteration.
    """

    source: Source
    container: Container
    schema: Schema | None
    first: list[Row | Unreadable]
    repairs: Counter[str] = field(default_factory=Counter)
    repaired: dict[str, list[str]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def columns(self) -> set[str]:
        """The optional columns that the format needs."""
        return set(self.schema.columns) if self.schema else set()

    @property
    def described(self) -> str:
        """The source with its detected format, for people."""
        shown = "stdin" if self.source.path == PIPE else self.source.label
        return (
            f"{shown}: {self.schema.what if self.schema else 'nothing that could be read'}, in {self.container.kind}"
        )

    def rows(self) -> Iterator[tuple[Row, Example] | Unreadable]:
        """Yield each row with its example, or as unreadable, in order. Can be iterated once."""
        for row in itertools.chain(self.first, self.container.rows):
            if isinstance(row, Unreadable):
                yield row
                continue
            self.count(row)
            try:
                yield row, self._example(row)
            except LineError as error:
                text = shown(row.raw if row.raw is not None else json_line(row.value))
                yield Unreadable(row.place, error.reason, error.problem, text)

    def line(self, row: Row, example: Example, columns: set[str]) -> bytes:
        """Return the row as a line in our format, without its line break; unchanged if it is one and was not repaired."""
        if row.raw is not None and self.is_ours(row) and not row.repairs:
            return row.raw
        return json_line(row_of(example, columns)).removesuffix(b"\n")

    def is_ours(self, row: Row) -> bool:
        """Return whether the row is a line in a format that is kept unchanged."""
        return row.raw is not None and self._schema_of(row).native

    def notes(self) -> list[str]:
        """Return lines for people: repaired rows with the first locations, and rows of other formats."""
        return [
            f"{self.source.label}: {number:,} rows were read as {SCHEMAS[name].what}, the only format that fits them"
            for name, number in sorted(self.others.items())
        ] + [
            f"{self.source.label}: {number:,} rows had {REPAIRS[kind]}: {', '.join(self.repaired[kind])}"
            + (" ..." if number > _LOCATIONS else "")
            for kind, number in sorted(self.repairs.items())
        ]

    def count(self, row: Row) -> None:
        """Count the repairs of a row."""
        if not row.repairs:
            return
        self.repairs.update(row.repairs)
        for kind in row.repairs:
            locations = self.repaired.setdefault(kind, [])
            if len(locations) < _LOCATIONS:
                locations.append(row.place)

    def _example(self, row: Row) -> Example:
        schema = self._schema_of(row)
        example = schema.read(row.value, row.place)
        if self.schema is not None and schema.read is not self.schema.read and schema.name in SCHEMAS:
            self.others[schema.name] += 1
        self._name(example)
        if not example.path:
            example.path = f"{self.source.label}#{row.part}" if row.part else self.source.label
            example.row = row.number
        return example

    def _name(self, example: Example) -> None:
        """Give an example the source's name and licence, and keep its own in its fields, earlier values first."""
        for name, value in (("source", self.source.name), ("license", self.source.license)):
            before = getattr(example, name)
            if value and before and before != value:
                earlier = example.fields.get(name, [])
                joined = [*(earlier if isinstance(earlier, list) else [earlier]), before]
                example.fields = {**example.fields, name: joined if name in example.fields else before}
            if value:
                setattr(example, name, value)

    def _schema_of(self, row: Row) -> Schema:
        assert self.schema is not None
        if self.source.map or self.source.format in SCHEMAS:  # named by the user
            return self.schema
        return of_row(self.schema, row.value, row.header or {}, row.place)


def open_sources(sources: Sequence[Source], option: str = "--input_path") -> list[Reader]:
    """Open all sources and detect their formats.

    Raises UserError, naming the option, if a source cannot be opened, its format is unknown, or no row of any source can be
    read.
    """
    twice = next((path for path, number in Counter(source.path for source in sources).items() if number > 1), None)
    if twice is not None:
        why = "standard input can be read only once" if twice == PIPE else "every row of it would be a duplicate"
        raise UserError(f"{option} names {twice} twice, but {why}; give it once")
    readers = [open_source(source, option) for source in sources]
    if any(reader.schema for reader in readers):
        return readers
    shown = ", ".join(source.label for source in sources)[:300]
    first = next((row for reader in readers for row in reader.first if isinstance(row, Unreadable)), None)
    if first is None:
        if folder := next((found for source in sources if (found := _empty_run(source.path))), None):
            raise UserError(f"{option} {folder}: {nothing_kept(folder)}")
        raise UserError(
            f"{option} {shown}: holds no row; give files of instructions, as JSONL with an object on every line"
        )
    number = sum(len(reader.first) for reader in readers)
    raise UserError(f"{option} {shown}: none of {number} rows could be read; {first.place}: {first.problem}")


def _empty_run(path: str) -> Path | None:
    """Return the directory of the run whose records are at a path; None if the file belongs to no run."""
    folder = Path(path).parent
    return folder if Path(path).name == ACCEPTED and (folder / REJECTED).is_file() else None


def open_source(source: Source, option: str = "--input_path") -> Reader:
    """Open a source and detect its format, which is None if no row can be read.

    Raises UserError, naming the option, if it cannot be opened or its format is unknown.
    """
    container = open_container(source.path, source.split, option, source.label)
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
    elif source.map:
        paths = dict(source.map)
        schema = Schema("map", "rows by --map", bool, lambda row, place: mapped(row, place, paths))
        schema = with_columns(schema, values)
    elif source.format == AUTO:
        schema = recognise(values, container.header, container.key, source.label)
        if schema is None:
            keys = ", ".join(map(str, values[0]))[:200]
            raise UserError(
                f"{option} {source.label}: no known format has rows with the fields {keys}; give the format with "
                f"--input_format, or name the fields, as in --map {guessed(values[0])[:200]}"
            )
    else:
        schema = named(source.format, values, container.header, source.label)
    return Reader(source, container, schema, first)
