"""What became of one candidate."""

from dataclasses import dataclass

from self_instruct.records import Drop, Nearest, Record
from self_instruct.runs.journal import Entry


@dataclass(frozen=True)
class Verdict:
    """What became of one candidate: its record as far as it could be read, and why it was dropped, or None if kept.

    `source` is the completion that the candidate was written in, where that is not the one that decided.
    """

    record: Record
    drop: Drop | None
    text: str = ""
    rouge: Nearest | None = None
    embedding: Nearest | None = None
    source: Entry | None = None
