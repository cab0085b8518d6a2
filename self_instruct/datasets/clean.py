"""Cleaning conversations of any format, row by row: each is cleaned, compared with those before it, split and written.

Every turn is written or counted by the reason why it is not.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from self_instruct.datasets.conversation_cleaning import Cleaning, Numbered, clean, repeated_digits, wrong_list
from self_instruct.datasets.convert import Tally, Target, Work, under_way
from self_instruct.datasets.example import ASSISTANT, Example, of_turns
from self_instruct.datasets.naming import made_id
from self_instruct.datasets.reading import Reader, Source
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.datasets.splitting import Count, split
from self_instruct.datasets.writing import Format, Unfit


@dataclass(frozen=True)
class CleanJob:
    """What is done to a conversation. `limit` is in tokens, as `count` counts them; None asks for no split. `digits` in a row
    and lists that begin anew are looked for in the parts of the split.
    """

    cleaning: Cleaning
    limit: int | None
    count: Count
    digits: int | None = None
    wrong_lists: bool = True


@dataclass
class Turns:
    """What became of the turns of one source: `read` = `written` + all of `drops`, by stage and reason."""

    read: int = 0
    written: int = 0
    samples: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """As in the report."""
        drops = {f"{stage}: {reason}": number for (stage, reason), number in sorted(self.drops.items())}
        return {"samples": self.samples, "turns": {"read": self.read, "written": self.written, "drops": drops}}


Counts = list[tuple[Tally, Turns]]


def clean_sources(
    sources: Sequence[Source], target: Target, job: CleanJob, about: dict[str, Any]
) -> tuple[Counts, Format]:
    """Reads, cleans, writes and counts; `about` goes into the report as it is. Raises `UserError` as `under_way` does."""
    with under_way(sources, target) as work:
        seen = _Seen()
        counts = [_Source(reader, work, job, seen).go_through() for reader in work.readers]
        work.report = {**about, "inputs": [{**tally.as_dict(), **turns.as_dict()} for tally, turns in counts]}
    return counts, work.format


class _Seen:
    """The ids and the first pairs of the conversations that passed, as digests."""

    def __init__(self) -> None:
        self._digests = set[bytes]()

    def before(self, example: Example, pair: Sequence[Numbered]) -> tuple[str, str] | None:
        """What was there before, as a reason and a detail: the id in the same file, or the first question with its answer."""
        keys = {"first_pair": json.dumps([one.text for one in pair])}
        if example.id:
            keys = {"id": json.dumps([example.path, example.id]), **keys}
        digests = {
            name: hashlib.blake2b(f"{name} {key}".encode(), digest_size=16).digest() for name, key in keys.items()
        }
        found = next((name for name, digest in digests.items() if digest in self._digests), None)
        if found is None:
            self._digests.update(digests.values())
            return None
        return found, f"id {example.id}" if found == "id" else f"begins as one before: {pair[0].text[:100]}"


class _Source:
    """One source on its way."""

    def __init__(self, reader: Reader, work: Work, job: CleanJob, seen: _Seen) -> None:
        self._reader, self._work, self._job, self._seen = reader, work, job, seen
        self._tally, self._turns = Tally(reader), Turns()

    def go_through(self) -> tuple[Tally, Turns]:
        """All rows of it."""
        for item in self._reader.rows():
            if isinstance(item, Unreadable):
                self._tally.drops["read", item.reason] += 1
                self._work.rejects.unreadable(item)
            else:
                self._clean(*item)
        return self._tally, self._turns

    def _clean(self, row: Row, example: Example) -> None:
        turns = example.turns
        self._turns.read += len(turns)
        if example.fields.get("plugins"):
            self._refuse(row, example, len(turns), "conversation", "plugins", "was held with plugins")
            return
        outcome = clean(turns, self._job.cleaning)
        if outcome.reason:
            self._turns.drops.update(("turn" if one.reason != outcome.reason else "conversation", one.reason)
                                     for one in outcome.dropped)  # fmt: skip
            self._refuse(row, example, 0, "conversation", outcome.reason, outcome.detail)
            return
        known = self._seen.before(example, outcome.kept[:2])
        if known is not None:
            self._turns.drops.update(("turn", one.reason) for one in outcome.dropped)
            self._refuse(row, example, len(outcome.kept), "duplicate", *known)
            return
        for one in outcome.dropped:
            self._drop(row, [Numbered(one.number, one.turn)], "turn", one.reason, one.detail)
        self._write_parts(row, example, outcome.kept)

    def _write_parts(self, row: Row, example: Example, kept: list[Numbered]) -> None:
        job, before, reason = self._job, self._turns.samples, ("sample", "")
        parts, too_long = [kept], list[tuple[list[Numbered], int]]()
        if job.limit is not None:
            parts, too_long = split(kept, job.limit, job.count, example.system)
        for pair, tokens in too_long:
            reason = ("split", "too_long")
            self._drop(row, pair, *reason, f"the pair alone makes a sample of {tokens:,} tokens")
        for part in parts:
            sample = _sample(example, part, whole=not too_long and len(parts) == 1)
            objection = self._objection(part)
            try:
                if objection is None:
                    self._work.output.write(self._work.format.row(sample))
            except Unfit as error:
                objection = "format", error.reason, error.problem
            if objection is None:
                self._turns.samples += 1
                self._turns.written += len(part)
                self._tally.lost.update(self._work.format.lost(sample))
            else:
                reason = objection[:2]
                self._turns.drops[reason] += len(part)
                self._work.rejects.unfit(row, sample, *objection)
        if self._turns.samples > before:
            self._tally.written += 1
        else:
            self._tally.drops[reason] += 1

    def _objection(self, part: list[Numbered]) -> tuple[str, str, str] | None:
        """Stage, reason and detail of why a part is not written."""
        for one in part:
            if self._job.digits is not None and (found := repeated_digits(one.text, self._job.digits)) is not None:
                return "sample", "repeated_digits", f"turn {one.number}: {found[:100]}"
            if self._job.wrong_lists and one.turn["role"] == ASSISTANT and (at := wrong_list(one.text)) is not None:
                return "sample", "wrong_list", f'turn {one.number}: the list begins anew with "{at.strip()}"'
        return None

    def _refuse(self, row: Row, example: Example, turns: int, stage: str, reason: str, detail: str) -> None:
        """A whole row is out, and with it so many turns that are not counted yet."""
        self._tally.drops[stage, reason] += 1
        if turns:
            self._turns.drops[stage, reason] += turns
        self._work.rejects.unfit(row, example, stage, reason, detail)

    def _drop(self, row: Row, gone: Sequence[Numbered], stage: str, reason: str, detail: str) -> None:
        self._turns.drops[stage, reason] += len(gone)
        for one in gone:
            self._work.rejects.turn(row, one.number, one.turn, stage, reason, detail)


def _sample(example: Example, part: Sequence[Numbered], whole: bool) -> Example:
    """The example of a part. Of a conversation that was split, the id gets the number of the part's first turn."""
    id = example.id
    if not whole:
        id = f"{id or made_id(example)}_{part[0].number}"
    return of_turns(
        [one.turn for one in part], system=example.system, id=id, category=example.category, source=example.source,
        license=example.license, path=example.path, row=example.row, fields=example.fields,
    )  # fmt: skip
