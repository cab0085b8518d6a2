"""Distinguish Hub ids from paths."""

import re

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_DATA = re.compile(r"\.(jsonl?|parquet|gz|txt|csv|tsv)$")


def is_hub_id(text: str) -> bool:
    """Return whether a text has the form `owner/name` and does not end like a data file."""
    return bool(_ID.fullmatch(text)) and not _DATA.search(text)


def is_model_id(text: str) -> bool:
    """Return whether a text can be the id of a model: `owner/name`, or a name alone for the oldest models."""
    return bool(_ID.fullmatch(text) or re.fullmatch(r"[\w-][\w.-]*", text)) and ".." not in text
