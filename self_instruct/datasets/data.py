"""Data that Python code gives to a command: rows in memory, a run, or paths."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths, path_of, records_of
from self_instruct.runs.run import Run

Rows = Iterable[Mapping[str, Any]]
"""Rows in memory: a list of dicts, or a `datasets.Dataset`."""
Data = str | Path | Run | Sequence[str | Path] | Rows
"""Rows, a run, or a path: of a file, of a folder of the datasets library, or on the Hub; or a list of files."""
_DATA = "data is a path, a list of paths, a run, a list of dicts or a datasets.Dataset; give one of these"


@contextmanager
def data_files(
    data: Data, output_path: str | Path | None, of_run: Callable[[Path], Path] = records_of
) -> Iterator[tuple[list[str], OutputPaths, str]]:
    """Provide files for rows in memory, and for outputs without a path, in a folder that is removed at the end.

    Yield the input paths, the outputs, and what to call the input if it is rows in memory, else an empty text. `of_run`
    returns the file to read of a run directory.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.jsonl")
        paths = data_paths(data, rows, of_run)
        outputs = output_paths(output_path, folder)
        outputs.check_inputs(paths, "the data")
        yield paths, outputs, "row" if rows.exists() else ""


def output_paths(output_path: str | Path | None, folder: str) -> OutputPaths:
    """Return the outputs at a path, or in a folder if it is None. Raises UserError for anything else."""
    if output_path is None:
        return OutputPaths(Path(folder, "kept.jsonl"))
    return OutputPaths(path_of(output_path, "output_path").expanduser().absolute())


def data_paths(data: Data, rows: Path, of_run: Callable[[Path], Path] = records_of) -> list[str]:
    """Return the paths of data; rows in memory are written to the file `rows`. Raises UserError for anything else."""
    if isinstance(data, Run):
        return [str(of_run(data.folder))]
    if isinstance(data, (str, Path)):
        return [_path(data, of_run)]
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise UserError(f"the data is of type {type(data).__name__}, but {_DATA}")
    items = list(data)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return [_path(item, of_run) for item in items]  # type: ignore[arg-type]
    if not items:
        raise UserError("there are no rows; give at least one")
    with rows.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for number, item in enumerate(items, start=1):
            if not isinstance(item, Mapping):
                raise UserError(f"row {number} is of type {type(item).__name__}, but {_DATA}")
            try:
                file.write(json.dumps(dict(item), ensure_ascii=True) + "\n")
            except (TypeError, ValueError, RecursionError) as error:
                raise UserError(f"row {number} cannot be written as JSON ({error})") from None
    return [str(rows)]


def _path(path: str | Path, of_run: Callable[[Path], Path]) -> str:
    if str(path) == PIPE:
        raise UserError("only the command can read from a pipe; give a path or rows")
    return str(of_run(Path(path))) if Path(path).exists() else str(path)
