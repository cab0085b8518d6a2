"""The decision on one candidate."""

from dataclasses import dataclass
from typing import Any

from self_instruct.records import Drop, Nearest, Record
from self_instruct.runs.journal import Entry


@dataclass(frozen=True)
class Verdict:
    """The decision on one candidate: its record as far as it could be read, and its drop, or None if it was kept.

    `source` is the completion that contains the candidate, if a later completion decided on it. `task` is true for a candidate
    without an output, for which a later request asks. `answer` is the completion that holds the output, and `choice` is the
    provenance of an output that was chosen from several answers. `language` is that of an answer with code, and `verification`
    the provenance of its tests and their outcome; without one, it waits for tests.
    """

    record: Record
    drop: Drop | None
    text: str = ""
    rouge: Nearest | None = None
    embedding: Nearest | None = None
    source: Entry | None = None
    task: bool = False
    answer: Entry | None = None
    choice: dict[str, Any] | None = None
    language: str | None = None
    verification: dict[str, Any] | None = None

    @property
    def untested(self) -> bool:
        """Whether a candidate with code waits for its tests."""
        return self.drop is None and self.language is not None and self.verification is None
