"""Find category files in the user's directory and among the built-in ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.config.shipped import shipped
from self_instruct.errors import UserError
from self_instruct.generation.categories.category import DRAWING
from self_instruct.generation.categories.category_file import nearest, read_category


def category_files(own: Path | None = None) -> dict[str, Path]:
    """Return all category files by name; a file in the user's directory `own` replaces a built-in one of the same name.

    Raises `UserError` if `own` is not a directory.
    """
    found = {path.stem: path for path in sorted(shipped("configs/categories").glob("*.yaml"))}
    if own is not None:
        if not own.is_dir():
            raise UserError(
                f"--categories_path {own}: is not a directory; give the one that holds your NAME.yaml files"
            )
        found.update((path.stem, path) for path in sorted(own.glob("*.yaml")))
    return found


def find(names: list[str], own: Path | None = None) -> list[Path]:
    """Return the files of these categories. Raises `UserError` for an unknown name, with the nearest known one."""
    files = category_files(own)
    for name in names:
        if name not in files:
            raise UserError(
                f"--categories names {name!r}, which is unknown{nearest(name, list(files))}; there are {', '.join(files)}; "
                "your own are files NAME.yaml in --categories_path"
            )
    return [files[name] for name in names]


def share_sampling(names: list[str], own: Path | None, run: Mapping[str, Any]) -> bool:
    """Return whether these categories sample tokens as the run's options do. `max_new_tokens` may differ.

    Raises `UserError` if a file cannot be read.
    """
    found = [read_category(path).options for path in find(names, own)]
    return all(options[name] == run[name] for options in found for name in DRAWING if name in options)
