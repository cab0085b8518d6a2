"""Clean conversations of any format, row by row: clean each, compare it with the earlier ones, split it and write it.

Every turn is either written or counted under the reason for dropping it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from self_instruct.datasets.conversation_cleaning import Cleaning, NumberedTurn, clean, repeated_digits, wrong_list
from self_instruct.datasets.convert import SourceCounts, Target
from self_instruct.datasets.example import ASSISTANT, Example, of_turns
from self_instruct.datasets.naming import made_id
from self_instruct.datasets.pipeline import ReadRow, Reject, Result, Step, open_pipeline, reject_of, rejected
from self_instruct.datasets.reading import Source
from self_instruct.datasets.rows import Row
from self_instruct.datasets.splitting import Count, split
from self_instruct.datasets.training import Unfit
from self_instruct.datasets.writing import Format
from self_instruct.records import Drop
from self_instruct.runs.tally import Tally


@dataclass(frozen=True)
class CleanJob:
    """Options for cleaning a conversation. `limit` is in tokens, counted by `count`; None means no split. Repeated `digits`
    and numbered lists that restart are checked in each part after the split.
    """

    cleaning: Cleaning
    limit: int | None
    count: Count
    digits: int | None = None
    wrong_lists: bool = True


@dataclass
class TurnCounts:
    """Counts for one source: the turns read, the turns kept or dropped, and the samples written."""

    read: int = 0
    samples: int = 0
    tally: Tally = field(default_factory=Tally)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for the report."""
        turns = {"read": self.read, "written": self.tally.kept, "drops": self.tally.by_name()}
        return {"samples": self.samples, "turns": turns}


CleanCounts = list[tuple[SourceCounts, TurnCounts]]


def clean_sources(
    sources: Sequence[Source], target: Target, job: CleanJob, about: dict[str, Any]
) -> tuple[CleanCounts, Format]:
    """Read, clean, write and count; `about` is added to the report. Raises UserError as `open_pipeline` does."""
    target.check()
    with open_pipeline(sources, target.path) as pipeline:
        format, seen, counts = target.open_in(pipeline), _Seen(), CleanCounts()
        for reader in pipeline.readers:
            step = _Clean(job, format, seen)
            tally = pipeline.run(reader.rows(), step)
            counts.append((SourceCounts(reader, tally, step.lost), step.turns))
        inputs = [{**source.as_dict(), **turns.as_dict()} for source, turns in counts]
        pipeline.report = {"format": format.name, **about, "inputs": inputs}
    return counts, format


class _Seen:
    """Digests of the ids and the first pairs of the conversations so far, without duplicates."""

    def __init__(self) -> None:
        self._digests = set[bytes]()

    def before(self, example: Example, pair: Sequence[NumberedTurn]) -> tuple[str, str] | None:
        """Return why a conversation is a duplicate, as reason and detail: an earlier one has the same id in the same file, or
        the same first pair. Return None if it is new.
        """
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
        return found, f"id {example.id}" if found == "id" else f"begins like an earlier one: {pair[0].text[:100]}"


class _Clean(Step[ReadRow]):
    """Clean each conversation, compare it with the earlier ones, and split it."""

    def __init__(self, job: CleanJob, format: Format, seen: _Seen) -> None:
        self._job, self._format, self._seen = job, format, seen
        self.turns, self.lost = TurnCounts(), Counter[str]()

    def apply_to(self, row: ReadRow) -> Result:
        line, example = row
        turns, count = example.turns, self.turns.tally
        self.turns.read += len(turns)
        if example.fields.get("plugins"):
            return self._refuse(row, len(turns), Drop("conversation", "plugins", "used plugins"))
        conversation = clean(turns, self._job.cleaning)
        if conversation.reason:
            for one in conversation.dropped:
                count.drop(Drop("turn" if one.reason != conversation.reason else "conversation", one.reason))
            return self._refuse(row, 0, Drop("conversation", conversation.reason, conversation.detail))
        known = self._seen.before(example, conversation.kept[:2])
        if known is not None:
            for one in conversation.dropped:
                count.drop(Drop("turn", one.reason))
            return self._refuse(row, len(conversation.kept), Drop("duplicate", *known))
        rejects = list[Reject]()
        for one in conversation.dropped:
            rejects += self._drop(line, [NumberedTurn(one.number, one.turn)], Drop("turn", one.reason, one.detail))
        return self._split(*row, conversation.kept, rejects)

    def _split(self, row: Row, example: Example, kept: list[NumberedTurn], rejects: list[Reject]) -> Result:
        """Return the samples of a conversation, one per part. If no part can be written, drop the row for the last reason."""
        job, samples, last = self._job, list[dict[str, Any]](), Drop("sample", "")
        parts, too_long = [kept], list[tuple[list[NumberedTurn], int]]()
        if job.limit is not None:
            parts, too_long = split(kept, job.limit, job.count, example.system)
        for pair, tokens in too_long:
            last = Drop("split", "too_long", f"the pair alone makes a sample of {tokens:,} tokens")
            rejects += self._drop(row, pair, last)
        for part in parts:
            sample = _sample(example, part, whole=not too_long and len(parts) == 1)
            drop = self._drop_of(part)
            try:
                if drop is None:
                    samples += self._format.rows(sample)
            except Unfit as error:
                drop = Drop("format", error.reason, error.problem)
            if drop is None:
                self.turns.tally.keep(len(part))
                self.lost.update(self._format.lost(sample))
            else:
                last = drop
                self.turns.tally.drop(drop, len(part))
                rejects.append(reject_of(row, sample, drop))
        self.turns.samples += len(samples)
        return Result(samples, None if samples else last, rejects)

    def _drop_of(self, part: list[NumberedTurn]) -> Drop | None:
        """Return the reason to drop a part, or None."""
        for one in part:
            if self._job.digits is not None and (found := repeated_digits(one.text, self._job.digits)) is not None:
                return Drop("sample", "repeated_digits", f"turn {one.number}: {found[:100]}")
            if self._job.wrong_lists and one.turn["role"] == ASSISTANT and (at := wrong_list(one.text)) is not None:
                return Drop("sample", "wrong_list", f'turn {one.number}: the list restarts with "{at.strip()}"')
        return None

    def _refuse(self, row: ReadRow, turns: int, drop: Drop) -> Result:
        """Drop a whole row, and count `turns` of its turns as dropped."""
        if turns:
            self.turns.tally.drop(drop, turns)
        return rejected(row, drop)

    def _drop(self, row: Row, gone: Sequence[NumberedTurn], drop: Drop) -> list[Reject]:
        self.turns.tally.drop(drop, len(gone))
        return [Reject(row.place, drop, {"turn": one.number, "message": one.turn}) for one in gone]


def _sample(example: Example, part: Sequence[NumberedTurn], whole: bool) -> Example:
    """Return the example of a part. If the conversation was split, append the number of the part's first turn to the id."""
    id = example.id
    if not whole:
        id = f"{id or made_id(example)}_{part[0].number}"
    return of_turns(
        [one.turn for one in part], system=example.system, id=id, category=example.category, source=example.source,
        license=example.license, path=example.path, row=example.row, fields=example.fields,
    )  # fmt: skip
