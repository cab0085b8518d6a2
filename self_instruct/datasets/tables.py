"""Read rows of Parquet files, folders of the `datasets` library and Hub datasets; only this module imports that library.

Cells become JSON values at any depth: dates and times in ISO 8601, bytes in base64, NaN and infinity as null, and decimals,
durations and other types as text.
"""

import base64
import json
import math
import os
from collections.abc import Iterable, Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.errors import UserError
from self_instruct.hub import offline_if_unreachable

_BATCH = 256
_JSON = "arrow.json"


def parquet_rows(path: str, option: str) -> Iterator[Row | Unreadable]:
    """Yield the rows of a Parquet file, with one batch in memory. Raises UserError if the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from _rows(file.iter_batches(_BATCH), path)
    except (pa.ArrowException, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"{option} {path}: is damaged or incomplete Parquet ({problem}); download or write it again"
        ) from None


def arrow_rows(path: str, option: str) -> Iterator[Row | Unreadable]:
    """Yield the rows of an Arrow file, or of a stream as `datasets` caches it. Raises UserError if it is damaged."""
    import pyarrow as pa

    try:
        with pa.memory_map(path) as file:
            if file.read(6) == b"ARROW1":
                found = pa.ipc.open_file(file)
                yield from _rows((found.get_batch(at) for at in range(found.num_record_batches)), path)
            else:
                file.seek(0)
                yield from _rows(pa.ipc.open_stream(file), path)
    except (pa.ArrowException, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"{option} {path}: is damaged or incomplete Arrow ({problem}); download or write it again"
        ) from None


def folder_rows(path: str, split: str | None, option: str) -> Iterator[Row | Unreadable]:
    """Return the rows of a folder saved with `Dataset.save_to_disk`. Raises UserError for other folders."""
    if not any((Path(path) / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json")):
        raise UserError(
            f"{option} {path}: is a directory, but not a dataset saved with datasets.Dataset.save_to_disk; give the files in it"
        )
    import datasets

    try:
        loaded = datasets.load_from_disk(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{option} {path}: cannot be loaded by the datasets library ({_said(error)})") from None
    return _rows(_batches(_split_of(loaded, path, split, option)), path)


def hub_rows(name: str, split: str | None, option: str) -> Iterator[Row | Unreadable]:
    """Return the rows of a Hub dataset, or of its cached copy. Raises UserError if it cannot be loaded."""
    import datasets

    try:
        with offline_if_unreachable(name):
            loaded = datasets.load_dataset(name)
    except Exception as error:  # each of the library's readers raises errors of its own
        offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        hint = "HF_HUB_OFFLINE is set, so only what is in the cache can be read; " if offline else ""
        raise UserError(
            f"{option} {name}: is not a local file, and the Hub dataset of that name cannot be loaded ({_said(error)}); {hint}"
            "give a path, or download it on a machine with network access"
        ) from None
    return _rows(_batches(_split_of(loaded, name, split, option)), name)


def _split_of(loaded: Any, name: str, split: str | None, option: str) -> Any:
    if not isinstance(loaded, dict):
        if split is not None:
            raise UserError(f"--split {split}: {name} has no splits; leave the option out")
        return loaded
    chosen = split or ("train" if "train" in loaded else next(iter(loaded)) if len(loaded) == 1 else None)
    if chosen not in loaded:
        given = f"has no split {split}" if split else "has several splits"
        raise UserError(f"{option} {name}: {given}; give --split, one of {', '.join(loaded)}")
    return loaded[chosen]


def _batches(table: Any) -> Iterator[Any]:
    """Return Arrow tables with cells as stored: no image is decoded, and no format set on the dataset applies."""
    yield from table.with_format("arrow").iter(batch_size=_BATCH)


def _rows(batches: Iterable[Any], name: str) -> Iterator[Row | Unreadable]:
    """Yield the rows of Arrow tables or record batches. A row is unreadable if a cell has no Python value (year 30000)."""
    number = 0
    for batch in batches:
        for value in _values(batch):
            place, repairs = f"{name}[{number}]", set[str]()
            if isinstance(value, Exception):
                yield Unreadable(place, "wrong_value", f"has a cell that cannot be read ({_said(value)})", "")
            else:
                yield Row(place, number, _plain(value, repairs), None, tuple(sorted(repairs)))
            number += 1


def _values(batch: Any) -> list[dict[str, Any] | Exception]:
    """Return each row as Python values, or the error of converting it."""
    types = {field.name: field.type for field in batch.schema if _JSON in str(field.type)}
    try:
        return [
            {**row, **{name: _decoded(row[name], type) for name, type in types.items()}} for row in batch.to_pylist()
        ]
    except (ValueError, ArithmeticError, LookupError, RecursionError) as error:
        if batch.num_rows == 1:
            return [error]
    return [value for at in range(batch.num_rows) for value in _values(batch.slice(at, 1))]


def _decoded(value: Any, type: Any) -> Any:
    """Decode values of the JSON type, which the `datasets` library gives to objects with varying keys."""
    if value is None or _JSON not in str(type):
        return value
    if getattr(type, "extension_name", "") == _JSON:
        return json.loads(value)
    if isinstance(value, dict):
        return {**value, **{field.name: _decoded(value[field.name], field.type) for field in type}}
    return [_decoded(item, type.value_type) for item in value]


def _plain(value: Any, repairs: set[str]) -> Any:
    """Return the value as a JSON value, and add the names of lossy conversions to `repairs`."""
    if isinstance(value, dict):
        return {str(key): _plain(item, repairs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, repairs) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        repairs.add("nan")
        return None
    if isinstance(value, bytes):
        repairs.add("bytes")
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | int | float):
        return value
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
