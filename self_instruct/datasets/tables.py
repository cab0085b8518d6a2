"""Rows of tables: Parquet files, folders of the `datasets` library, and datasets of the Hub; the library is imported here only.

Knows nothing of what the rows mean.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from self_instruct.datasets.rows import Row
from self_instruct.errors import UserError

_BATCH = 256


def parquet_rows(path: str, option: str) -> Iterator[Row]:
    """The rows of a Parquet file, a few hundred in memory. Raises `UserError` if it is none, or is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            number = 0
            for batch in file.iter_batches(_BATCH):
                for value in batch.to_pylist():
                    yield Row(f"{path}[{number}]", number, _without_nan(value))
                    number += 1
    except (pa.ArrowException, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(f"{option} {path}: is not a whole Parquet file ({problem}); fetch or write it again") from None


def folder_rows(path: str, split: str | None, option: str) -> Iterator[Row]:
    """The rows of a folder that `save_to_disk` of the `datasets` library has written. Raises `UserError` if it is none."""
    if not any((Path(path) / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json")):
        raise UserError(
            f"{option} {path}: is a directory, and none that save_to_disk of the datasets library wrote; give the files in it"
        )
    import datasets

    try:
        loaded = datasets.load_from_disk(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{option} {path}: cannot be loaded by the datasets library ({_said(error)})") from None
    return _rows(_split_of(loaded, path, split, option), path)


def hub_rows(name: str, split: str | None, option: str) -> Iterator[Row]:
    """The rows of a dataset of the Hub, or of its copy in the cache. Raises `UserError` if it cannot be had."""
    import datasets

    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # the library raises what its many readers do
        offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        hint = "HF_HUB_OFFLINE is set, so only what is in the cache can be read; " if offline else ""
        raise UserError(
            f"{option} {name}: is no file here, and the Hub's dataset of that name cannot be loaded ({_said(error)}); {hint}"
            "give a path, or fetch it where there is a network"
        ) from None
    return _rows(_split_of(loaded, name, split, option), name)


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


def _rows(table: Any, name: str) -> Iterator[Row]:
    for number, value in enumerate(table):
        yield Row(f"{name}[{number}]", number, _without_nan(value))


def _without_nan(value: dict[str, Any]) -> dict[str, Any]:
    """A row whose empty cells are None, as they are not in tables that came through pandas."""
    return {key: None if cell != cell else cell for key, cell in value.items()}  # noqa: PLR0124  NaN is not itself


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
