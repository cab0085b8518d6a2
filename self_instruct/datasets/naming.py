"""Prepare paths, options and provenance for publication: shorten paths, and leave out anything that may be a secret."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from self_instruct.config.hub_names import is_hub_id
from self_instruct.config.shipped import ROOTS
from self_instruct.datasets.example import Example

_SECRET_KEY = re.compile(
    r"(?i)(api_?key|secret|password|passwd|authorization)(?!_env)|(^|_)token$|headers?$|extra_body|api_base"
)
_SECRET_TEXT = re.compile(r"\b(hf_\w{8,}|sk-[\w-]{8,}|gh[pousr]_\w{8,}|AKIA\w{12,})|//[^/\s@]+@")
_PLACE = re.compile(r"([^\s/=]+=)?(?=/|\./|\.\./|~|file:|[A-Za-z]:[\\/])")
_ELSEWHERE = re.compile(r"~|file:|[A-Za-z]:[\\/]")
_NAMING_KEYS = ("model", "path")


def short(path: str) -> str:
    """Return the name of a file; the id of a dataset or model on the Hub unchanged."""
    return path if _is_on_hub(path) else Path(path.replace("\\", "/")).name


def pasteable(path: str) -> str:
    """Return a path for a published command: relative to the working directory or, for a file of this project, to the project's
    root. Of any other path, return only the name.
    """
    if _is_on_hub(path) or _ELSEWHERE.match(path):
        return short(path)
    place, here = Path(os.path.abspath(path)), Path.cwd()
    roots = [here, *ROOTS] if here.parent != here else ROOTS  # every path is below the root of the disk
    return next((str(place.relative_to(root)) for root in roots if place.is_relative_to(root)), short(path))


def _is_on_hub(path: str) -> bool:
    return is_hub_id(path) and not os.path.exists(path)


def made_id(example: Example) -> str:
    """Return an id for a row that has none: its source or file name, and its number. Files of the same name in different
    folders differ by a few digits, which do not reveal the folder.
    """
    name = example.source
    if not name:
        name = short(example.path)
        if name != example.path:
            digits = hashlib.blake2b(example.path.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
            name = f"{name}-{digits}"
    return f"{name}_{example.row}"


def with_short_paths(value: Any) -> Any:
    """Return a value with the paths under the keys `model` and `path` shortened, also in nested objects and lists."""
    if isinstance(value, list):
        return [with_short_paths(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _shortened(item, short) if key in _NAMING_KEYS else with_short_paths(item) for key, item in value.items()
    }


def presentable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with their paths made `pasteable`, without options whose name or value looks like a secret."""
    return {
        name: _shortened(value, pasteable)
        for name, value in options.items()
        if not _SECRET_KEY.search(name) and not _SECRET_TEXT.search(str(value))
    }


def _shortened(value: Any, shorten: Callable[[str], str]) -> Any:
    """Shorten texts that look like paths, also after NAME=."""
    if isinstance(value, list):
        return [_shortened(item, shorten) for item in value]
    found = _PLACE.match(value) if isinstance(value, str) and "\n" not in value else None
    return found[0] + shorten(value[found.end() :]) if found else value
