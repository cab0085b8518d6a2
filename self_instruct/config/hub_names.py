"""Telling names of datasets on the Hub from paths. Knows nothing of either's content."""

import re

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_DATA = re.compile(r"\.(jsonl?|parquet|gz|txt|csv|tsv)$")


def is_hub_id(text: str) -> bool:
    """Whether a text reads `owner/name` and does not end as files of data do."""
    return bool(_ID.fullmatch(text)) and not _DATA.search(text)
