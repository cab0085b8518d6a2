"""Where rows are written to: JSON lines, a JSON list, the list of an LMFlow object, Parquet; on disk in one step, or to a pipe.

Knows nothing of what the rows mean.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from self_instruct.datasets.example import OPTIONAL
from self_instruct.datasets.ours import folded
from self_instruct.records import json_line
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import PIPE

_ROWS = 1024  # of a row group of Parquet


class Sink(Protocol):
    """What takes bytes, and keeps them once all are there."""

    def write(self, content: bytes) -> None:
        """Appends."""

    def publish(self) -> None:
        """All is written."""

    def close(self) -> None:
        """Ends the writing."""


class StandardOutput:
    """The pipe as a sink; what was written cannot be taken back."""

    def write(self, content: bytes) -> None:
        """Appends."""
        sys.stdout.buffer.write(content)

    def publish(self) -> None:
        """All is written."""
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Nothing is left to be done."""


class Sized:
    """Count the bytes that go to a sink; with None, only count them."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink, self.size = sink, 0

    def write(self, content: bytes) -> None:
        """Append."""
        self.size += len(content)
        if self._sink is not None:
            self._sink.write(content)

    def publish(self) -> None:
        """Publish the sink."""
        if self._sink is not None:
            self._sink.publish()

    def close(self) -> None:
        """Close the sink."""
        if self._sink is not None:
            self._sink.close()


def open_sink(path: str) -> Sink:
    """The pipe, or a new file. Raises `UserError` if it cannot be written."""
    return StandardOutput() if path == PIPE else NewFile(Path(path))


class Writer(Protocol):
    """Write rows to a sink in some form."""

    sink: Sink

    def write(self, row: Any) -> None:
        """Append a row."""

    def finish(self) -> None:
        """Write the end and put the output in its place."""


class Lines:
    """Rows that are lines already, without the line break."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, row: bytes) -> None:
        """Append a row."""
        self.sink.write(row + b"\n")

    def finish(self) -> None:
        """Put the output in its place."""
        self.sink.publish()


class JsonLines:
    """An object a line."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a row."""
        self.sink.write(json_line(dict(row)))

    def finish(self) -> None:
        """Puts the output in its place."""
        self.sink.publish()


class JsonList:
    """A list of objects, an object a line, after `head` and before `tail`."""

    def __init__(self, sink: Sink, head: str = "[", tail: str = "]") -> None:
        self.sink, self._before, self._tail = sink, f"{head}\n", f"\n{tail}\n"

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a row."""
        self.sink.write(self._before.encode() + json_line(dict(row)).rstrip(b"\n"))
        self._before = ",\n"

    def finish(self) -> None:
        """Closes the list and puts the output in its place."""
        self.sink.write((("" if self._before == ",\n" else self._before) + self._tail).encode())
        self.sink.publish()


class Parquet:
    """Rows of ours, or of another schema of Arrow, as a table; a row group at a time is in memory. Of ours, optional columns
    are there, and null where not needed: which ones later rows need is not known when the table is begun.
    """

    def __init__(self, sink: Sink, schema: Any = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = schema or _records()
        self.sink, self._rows, self._table = sink, list[dict[str, Any]](), pa.Table
        self._writer = pq.ParquetWriter(pa.PythonFile(_Written(sink), mode="w"), self._schema)

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a row, whose turns are cut to what the table's columns hold."""
        if "messages" in row:
            row = {**row, "messages": [folded(turn) for turn in row["messages"]]}
        self._rows.append(_storable(dict(row)))
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self) -> None:
        """Writes the end of the table and puts the output in its place."""
        self._flush()
        self._writer.close()
        self.sink.publish()

    def close(self) -> None:
        """Ends the table; if `finish` was not called, the output is not put in its place."""
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, self._schema))
            self._rows.clear()


def _records() -> Any:
    """The columns of rows of ours."""
    import pyarrow as pa

    text, turn = pa.string(), pa.struct([("role", pa.string()), ("content", pa.string()), ("more", pa.string())])
    optional = {"system": text, "messages": pa.list_(turn)}
    origin = pa.struct([("path", text), ("row", pa.int64())])
    about = [(name, text) for name in ("id", "category", "source", "license")]
    return pa.schema(
        [(name, text) for name in ("instruction", "input", "output")]
        + [(name, optional[name]) for name in OPTIONAL]
        + [("provenance", pa.struct([*about, ("origin", origin), ("fields", text)]))]
    )


def exchanges() -> Any:
    """The columns of rows with `prompt` and `completion`, each a list of messages."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    return pa.schema([("prompt", turns), ("completion", turns)])


class _Written:
    """A sink as pyarrow wants files."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink, self._at = sink, 0

    def write(self, content: Any) -> int:
        self._sink.write(bytes(content))
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _storable(value: Any) -> Any:
    """The value without what UTF-8 cannot hold, lone surrogates, which become `\\udXXX`."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, Sequence) else value
