"""Write rows as JSON lines, a JSON list, the list of an LMFlow object, or Parquet, to a pipe or atomically to a file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from self_instruct.datasets.example import OPTIONAL
from self_instruct.datasets.ours import folded
from self_instruct.errors import naming
from self_instruct.records import json_line
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import PIPE

_STANDARD_OUTPUT = "standard output"
_ROWS = 1024  # per row group of Parquet


class Sink(Protocol):
    """Takes bytes, and makes them visible only when all are written."""

    def write(self, content: bytes) -> None:
        """Append bytes."""

    def publish(self) -> None:
        """Make the output visible."""

    def close(self) -> None:
        """Close; without `publish`, discard the output."""


class StandardOutput:
    """Standard output as a sink; written bytes cannot be taken back."""

    def write(self, content: bytes) -> None:
        """Append bytes."""
        with naming(_STANDARD_OUTPUT):
            sys.stdout.buffer.write(content)

    def publish(self) -> None:
        """Flush."""
        with naming(_STANDARD_OUTPUT):
            sys.stdout.buffer.flush()

    def close(self) -> None:
        """Do nothing."""


class Sized:
    """Count the bytes that go to a sink; with None, only count them."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink, self.size = sink, 0

    def write(self, content: bytes) -> None:
        """Append bytes."""
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
    """Open standard output or a new file. Raises UserError if it cannot be written."""
    return StandardOutput() if path == PIPE else NewFile(Path(path))


class Writer(Protocol):
    """Write rows to a sink in some form."""

    sink: Sink

    def write(self, row: Any) -> None:
        """Append a row."""

    def finish(self) -> None:
        """Write the end and publish the output."""


class Lines:
    """Writes rows that are already encoded as lines, without their line breaks."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, row: bytes) -> None:
        """Append a row."""
        self.sink.write(row + b"\n")

    def finish(self) -> None:
        """Publish the output."""
        self.sink.publish()


class JsonLines:
    """Writes one object per line."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        self.sink.write(json_line(dict(row)))

    def finish(self) -> None:
        """Publish the output."""
        self.sink.publish()


class JsonList:
    """Writes a list of objects, one per line, between `head` and `tail`."""

    def __init__(self, sink: Sink, head: str = "[", tail: str = "]") -> None:
        self.sink, self._before, self._tail = sink, f"{head}\n", f"\n{tail}\n"

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row."""
        self.sink.write(self._before.encode() + json_line(dict(row)).rstrip(b"\n"))
        self._before = ",\n"

    def finish(self) -> None:
        """Close the list and publish the output."""
        self.sink.write((("" if self._before == ",\n" else self._before) + self._tail).encode())
        self.sink.publish()


class Parquet:
    """Writes rows in our format, or of another Arrow schema, as a table; one row group is in memory. The optional columns of
    our format are always written, null if unused, because the columns are fixed before the rows are known.
    """

    def __init__(self, sink: Sink, schema: Any = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = schema or _records()
        self.sink, self._rows, self._table = sink, list[dict[str, Any]](), pa.Table
        self._writer = pq.ParquetWriter(pa.PythonFile(_Written(sink), mode="w"), self._schema)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row, with its turns folded into the table's columns."""
        if "messages" in row:
            row = {**row, "messages": [folded(turn) for turn in row["messages"]]}
        self._rows.append(_storable(dict(row)))
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self) -> None:
        """Write the end of the table and publish the output."""
        self._flush()
        self._writer.close()
        self.sink.publish()

    def close(self) -> None:
        """Close the table; without `finish`, the output is not published."""
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, self._schema))
            self._rows.clear()


def _records() -> Any:
    """Return the Arrow schema of our format."""
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
    """Return the Arrow schema of rows with `prompt` and `completion`, each a list of messages."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    return pa.schema([("prompt", turns), ("completion", turns)])


class _Written:
    """A sink as a file object for pyarrow."""

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
    """Replace lone surrogates, which UTF-8 cannot hold, by `\\udXXX`."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, Sequence) else value
