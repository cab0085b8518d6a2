"""Have a chat model write the user's turn: it continues its own chat template up to where the user's words begin."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from self_instruct.engines.local.chat_template import UserTurn
from self_instruct.formats import RecordFormat
from self_instruct.records import Drop, Prompt, Record, record_id
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

MAX_EMPTY_TURNS = 24  # after this number of requests that all gave an empty turn, the run stops


@dataclass(frozen=True)
class UserTurnComposer:
    """Composes prompts that end where the user's words begin, or after their `opening`."""

    format: RecordFormat
    turn: UserTurn
    opening: str = ""

    def compose(self, request: int, pool: Sequence[Record]) -> Prompt:
        """Return the prompt of a request; all requests have the same."""
        return Prompt(request, self.turn.prefix, self.opening, 1, ())


@dataclass
class UserTurnParser:
    """Reads a completion as one task. Each task begins with `opening`, the text at the end of the prompt.

    Drop reasons: `empty_turn`, `cut_by_length`.
    """

    opening: str = ""
    _read: int = field(default=0)
    _empty: int = field(default=0)

    def without_tasks(self) -> str | None:
        """Return why the run should stop if all of the first turns were empty, else None."""
        if self._read < MAX_EMPTY_TURNS or self._empty < self._read:
            return None
        return (
            f"--recipe magpie does not suit the model: it ended the user's turn at once in all of the first {self._read} "
            "requests; use --recipe chat"
        )

    def __call__(self, entry: Entry) -> list[Verdict]:
        """Return the task of a completion."""
        written = entry.answer.strip()
        self._read += 1
        self._empty += not written
        reason = "cut_by_length" if entry.cut else None if written else "empty_turn"
        text = "" if reason else (self.opening + entry.answer).strip()
        record = Record(record_id(entry.request, 1), text, "", "", entry.depth)
        return [Verdict(record, Drop("parse", reason) if reason else None, entry.answer if reason else "", task=True)]
