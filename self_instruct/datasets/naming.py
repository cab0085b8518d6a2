"""What of options and provenance may be shown to others: paths shortened to names, and nothing that may be a secret."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.config.hub_names import is_hub_id
from self_instruct.datasets.example import Example

_SECRET_KEY = re.compile(
    r"(?i)(api_?key|secret|password|passwd|authorization)(?!_env)|(^|_)token$|headers?$|extra_body|api_base"
)
_SECRET_TEXT = re.compile(r"\b(hf_\w{8,}|sk-[\w-]{8,}|gh[pousr]_\w{8,}|AKIA\w{12,})|//[^/\s@]+@")
_PLACE = re.compile(r"([^\s/=]+=)?(?=/|\./|\.\./|~|file:|[A-Za-z]:[\\/])")
_NAMING_KEYS = ("model", "path")


def short(path: str) -> str:
    """The name of a file; the id of a dataset or model on the Hub as it is."""
    return path if is_hub_id(path) and not os.path.exists(path) else Path(path.replace("\\", "/")).name


def made_id(example: Example) -> str:
    """An id for a row that has none: its source or the name of its file, and its number. Files of one name in different
    folders stay apart by a few digits, which do not tell the folder.
    """
    name = example.source
    if not name:
        name = short(example.path)
        if name != example.path:
            digits = hashlib.blake2b(example.path.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
            name = f"{name}-{digits}"
    return f"{name}_{example.row}"


def without_places(value: Any) -> Any:
    """A value with every path shortened that a key says to be one, also inside objects and lists."""
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _shortened(item) if key in _NAMING_KEYS else without_places(item) for key, item in value.items()}


def presentable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with paths shortened. What may be a secret, by its key or by its look, is left out."""
    return {
        name: _shortened(value)
        for name, value in options.items()
        if not _SECRET_KEY.search(name) and not _SECRET_TEXT.search(str(value))
    }


def _shortened(value: Any) -> Any:
    """Names instead of what begins as paths do, also after NAME=."""
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    found = _PLACE.match(value) if isinstance(value, str) and "\n" not in value else None
    return found[0] + short(value[found.end() :]) if found else value
