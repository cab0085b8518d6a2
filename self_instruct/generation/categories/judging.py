"""Judging completions of categories: each by the rules of its own, all compared with each other.

In a category of two steps a task that passes is compared and holds its place at once, and waits for its answer; the answer
decides. Completions are judged in request order, so verdicts are a function of the completions and the rules alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from self_instruct.errors import UserError
from self_instruct.formats import Block, RecordFormat
from self_instruct.generation.categories.category import TOPIC
from self_instruct.generation.categories.tally import Outcome
from self_instruct.generation.judging import compared, draft, objected, unanswered
from self_instruct.generation.pool import RecordPool
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.records import Drop, Record
from self_instruct.rules.filters import Filter, about_tasks, first_objection
from self_instruct.rules.validators import Validator, validate
from self_instruct.runs.funnel import JUDGED
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class Rules:
    """What a category's records must be. `first_format` is what the first of two steps writes, the format itself where there is
    one step; `quota` is how many are wanted, None for any number.
    """

    format: RecordFormat
    first_format: RecordFormat
    filters: Sequence[Filter]
    validators: Sequence[Validator]
    instruction_validators: Sequence[Validator]
    bounds: Bounds
    quota: int | None = None

    @property
    def in_two_steps(self) -> bool:
        """Whether tasks come without answers."""
        return self.first_format != self.format


@dataclass
class CategoryCurator:
    """Decides what is kept of each category. `outcomes` says, request by request, what came of it."""

    rules: Mapping[str, Rules]
    novelty: Novelty
    pool: RecordPool = field(default_factory=RecordPool)
    outcomes: list[Outcome] = field(default_factory=list)
    _kept: dict[str, RecordPool] = field(default_factory=dict)
    _awaiting: dict[str, Verdict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept.update((name, RecordPool()) for name in self.rules)

    def pool_before(self, category: str, request: int) -> Sequence[Record]:
        """The records of a category kept by requests below this one: the same whatever was judged since."""
        return self._kept[category].before(request)

    def awaiting(self, name: str) -> Record:
        """The task of that id, which waits for its answer."""
        return self._awaiting[name].record

    def variables(self, name: str) -> Mapping[str, str]:
        """The variables of the request that gave the task of that id."""
        return _entry_of(self._awaiting[name]).variables

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """The verdicts that a completion brings; of each category as many records are kept as its quota says, whatever `room`
        there is. Raises `UserError` if the entry's category is none of the run.
        """
        rules = self.rules.get(entry.category or "")
        if rules is None:
            raise UserError(
                f"request {entry.request} of the journal is of the category {entry.category!r}, which is none of "
                f"{', '.join(self.rules)}; restore --categories or the journal"
            )
        category, topic = entry.category or "", entry.variables.get(TOPIC)
        failed = entry.finish_reason == "error"
        waiting = set(self._awaiting)
        if entry.step == 2:
            verdicts = self._judge_answer(entry, rules)
        else:
            verdicts = [unanswered(entry)] if failed else self._judge_tasks(entry, rules)
        kept = [verdict.record for verdict in verdicts if verdict.drop is None]
        for record in kept:
            self.pool.add(record, entry.request)
            self._kept[category].add(record, entry.request)
        new = tuple(name for name in self._awaiting if name not in waiting) if entry.step == 1 else ()
        passed = len(kept) + len(new)
        judged = passed + sum(verdict.drop is not None and verdict.drop.stage in JUDGED for verdict in verdicts)
        self.outcomes.append(
            Outcome(entry.request, category, entry.step, topic, judged, passed, len(kept), new, failed)
        )
        return verdicts

    def unfinished(self) -> list[Verdict]:
        """The tasks that no answer came to, because the run ended or their category was full."""
        full = {name for name, rules in self.rules.items() if self._room(name, rules) == 0}
        reasons = {True: "quota_reached", False: "awaiting_response"}
        return [
            replace(task, drop=Drop("limit", reasons[_entry_of(task).category in full]))
            for task in self._awaiting.values()
        ]

    def _room(self, category: str | None, rules: Rules) -> int | None:
        return None if rules.quota is None else max(0, rules.quota - len(self._kept[category or ""]))

    def _judge_tasks(self, entry: Entry, rules: Rules) -> list[Verdict]:
        """The verdicts on the blocks of a first step; tasks that pass without an answer wait for it and have none yet."""
        blocks = rules.first_format.parse(entry.text, entry.number, entry.finish_reason == "length")
        filters, validators = rules.filters, rules.validators
        if rules.in_two_steps:
            blocks = [_without_output(block, rules.format) for block in blocks]
            filters, validators = about_tasks(filters), [_of_tasks(item) for item in rules.instruction_validators]
        drafts = [_validated(draft(block, entry, filters), validators, entry) for block in blocks]
        texts = {item.record.id: compared(item.record, rules.format) for item in drafts if item.drop is None}
        vectors = self.novelty.vectors(texts, rules.bounds)
        room = None if rules.in_two_steps else self._room(entry.category, rules)
        verdicts: list[Verdict] = []
        for item in drafts:
            verdict, name = item, item.record.id
            if room == 0 and not (item.drop and item.drop.stage == "parse"):
                verdict = Verdict(item.record, Drop("limit", "quota_reached"))
            elif item.drop is None:
                found = self.novelty.take(name, texts[name], vectors.get(name), rules.bounds)
                verdict = Verdict(item.record, found.drop, rouge=found.rouge, embedding=found.embedding)
            if verdict.drop is None and rules.in_two_steps:
                self._awaiting[name] = replace(verdict, source=entry)
                continue
            if verdict.drop is None and room is not None:
                room -= 1
            verdicts.append(verdict)
        return verdicts

    def _judge_answer(self, entry: Entry, rules: Rules) -> list[Verdict]:
        """The verdict on a task whose answer has come; none if the task was dropped, as it is by other rules than the run's."""
        task = self._awaiting.pop(entry.answers or "", None)
        if task is None:
            return []
        if entry.finish_reason == "error":
            return [replace(task, drop=Drop("generation", "error", entry.error or ""))]
        truncated = entry.finish_reason == "length"
        block = rules.format.parse(entry.text, entry.number, truncated, task.record)[0]
        if block.reason:
            return [replace(task, drop=Drop("parse", block.reason), text=block.text)]
        answered = replace(task, record=replace(task.record, output=block.fields["output"]))
        if self._room(entry.category, rules) == 0:
            return [replace(answered, drop=Drop("limit", "quota_reached"))]
        objection = first_objection(rules.filters, answered.record)
        if objection:
            return [replace(answered, drop=objected("filter", objection))]
        return [_validated(answered, rules.validators, _entry_of(task))]


def _validated(verdict: Verdict, validators: Sequence[Validator], entry: Entry) -> Verdict:
    """The verdict after the validators, which see what the record's request was composed with."""
    if verdict.drop is not None:
        return verdict
    found = validate(validators, verdict.record, entry.variables)
    if isinstance(found, str):
        return replace(verdict, drop=objected("validate", found))
    return replace(verdict, record=found)


def _without_output(block: Block, format: RecordFormat) -> Block:
    """A block of the first of two steps without the output that a model wrote all the same."""
    label = re.compile(
        rf"^[ \t]*\d{{1,6}}[.)][ \t]*{re.escape(format.triggers[-1][1])}[ \t]*:", re.MULTILINE | re.IGNORECASE
    )
    return replace(block, fields={name: label.split(text)[0].strip() for name, text in block.fields.items()})


def _of_tasks(validator: Validator) -> Validator:
    """The validator for tasks that have no answer yet, which is no fault of theirs."""

    def asked(record: Record, variables: Mapping[str, str]) -> Record | str:
        found = validator(record, variables)
        return record if isinstance(found, str) and found.partition(":")[0] == NO_ANSWER else found

    return asked


def _entry_of(task: Verdict) -> Entry:
    assert task.source is not None, "a task that waits was written in some completion"
    return task.source
