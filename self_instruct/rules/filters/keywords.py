"""Reject instructions that name things a language model cannot see or do, such as images.

These filters suit prose; in code, words such as "file" and "map" are harmless.
"""

import re
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PAPER_KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot", "go to",
)  # fmt: skip
"""The list in the code of the Self-Instruct paper (wang2022self). It rejects 16.8 % of 4,535 coding instructions."""

ALPACA_KEYWORDS = (*PAPER_KEYWORDS, "video", "audio", "music", "flowchart", "diagram")
"""The list of Stanford Alpaca and Code Alpaca."""

_LISTS = {"default": PAPER_KEYWORDS, "alpaca": ALPACA_KEYWORDS}


def drop_keywords(words: Sequence[str]) -> Callable[[Record], str | None]:
    """Reject with `keyword` if the instruction contains one of the words as a whole word, ignoring case.

    "default" stands for `PAPER_KEYWORDS`, "alpaca" for `ALPACA_KEYWORDS`.
    """
    wanted = [word for given in words for word in _LISTS.get(given, (given,)) if word.strip()]
    # Use look-arounds: \b finds no boundary after the last character of a word such as "c++".
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)", re.IGNORECASE) if wanted else None

    def rule(record: Record) -> str | None:
        found = pattern.search(record.instruction) if pattern else None
        return f"keyword: {found.group()}" if found else None

    return rule
