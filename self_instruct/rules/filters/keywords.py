"""Words for things that a language model cannot see or do. Suited to plain text; in code, "file" and "map" are harmless."""

import re
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PAPER_KEYWORDS = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot", "go to",
)  # fmt: skip
"""The list of the Self-Instruct paper's code (wang2022self); measured to remove 16.8 % of 4,535 coding instructions."""

ALPACA_KEYWORDS = (*PAPER_KEYWORDS, "video", "audio", "music", "flowchart", "diagram")
"""The list of Stanford Alpaca and Code Alpaca."""

_LISTS = {"default": PAPER_KEYWORDS, "alpaca": ALPACA_KEYWORDS}


def drop_keywords(words: Sequence[str]) -> Callable[[Record], str | None]:
    """Reject with `keyword` if the instruction contains one of the words as a whole word, ignoring case.

    "default" means the list of the paper, "alpaca" that of Alpaca.
    """
    wanted = [word for given in words for word in _LISTS.get(given, (given,)) if word.strip()]
    # Look-arounds, because \\b finds no boundary next to a word such as "c++".
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)", re.IGNORECASE) if wanted else None

    def rule(record: Record) -> str | None:
        found = pattern.search(record.instruction) if pattern else None
        return f"keyword: {found.group()}" if found else None

    return rule
