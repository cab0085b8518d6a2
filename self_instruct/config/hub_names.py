"""Distinguish Hub dataset ids from paths."""

import re

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_DATA = re.compile(r"\.(jsonl?|parquet|gz|txt|csv|tsv)$")


def is_hub_id(text: str) -> bool:
    """Return whether a text has the form `owner/name` and no file extension of a data file."""
    return bool(_ID.fullmatch(text)) and not _DATA.search(text)
