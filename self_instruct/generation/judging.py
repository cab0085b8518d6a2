"""Decide on candidates: parse blocks, check them, and compare them with the pool, to which the kept records are added.

Completions are decided in request order, so the verdicts depend only on the completions and the options: they are the same in
a run, its resumption and `refilter`. Runs from seed tasks, from categories and for topics differ only in their `Rules`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from self_instruct.errors import UserError
from self_instruct.formats import Block, RecordFormat
from self_instruct.generation import answers, testing
from self_instruct.generation.answers import whole_reply
from self_instruct.generation.choice import by_agreement, by_tests
from self_instruct.generation.pool import RecordPool
from self_instruct.generation.verification import Verification
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.records import Drop, Record, record_id
from self_instruct.rules.execution.running import BROKEN
from self_instruct.rules.filters import Filter, about_tasks, first_reason
from self_instruct.rules.validators import Validator, validate
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.verified import STAGE
from self_instruct.thoughts import UNCLOSED

Check = Callable[[Record, Mapping[str, str]], Record | Drop]
"""Returns the record, perhaps changed, or its drop. The mapping holds the template variables of its request."""
Observer = Callable[[Entry, Sequence[Verdict], Mapping[str, int]], None]
"""Called with each completion, its verdicts, and the ids of its tasks that wait, with the step for which each waits."""


ORPHAN_REASONS = ("missing_output", "cut_by_length")
"""The reasons for which a block that has an instruction has no output."""


@dataclass(frozen=True)
class Rules:
    """The requirements for the records of one category, or of a run without categories.

    `parse` returns the candidates of a completion, unreadable ones with a drop; `quota` limits the records of a category.
    `check` is for whole records. With a second step, `check_task` is for tasks without an output, and `read_answer` returns
    the block of a task's answer. With `asks_again`, a record of which only the output is rejected waits for another output.
    A task is decided when it has `num_answers` answers.
    """

    format: RecordFormat
    parse: Callable[[Entry], list[Verdict]]
    check: Check
    bounds: Bounds
    quota: int | None = None
    check_task: Check | None = None
    read_answer: Callable[[Entry, Record], Block] | None = None
    asks_again: bool = False
    num_answers: int = 1


class Curator:
    """Decides which candidates to keep. `pool` holds the records kept so far, in request order.

    `rules` are keyed by category, with None for a run without categories; candidates of all categories are compared. With a
    `verification`, answers with code wait for their tests.
    """

    def __init__(
        self,
        rules: Mapping[str | None, Rules],
        novelty: Novelty,
        observe: Observer = lambda *_: None,
        verification: Verification | None = None,
    ) -> None:
        self.pool, self.rules, self.verification = RecordPool(), rules, verification
        self._novelty, self._observe = novelty, observe
        self._kept = {name: RecordPool() for name in rules if name is not None}
        self._waiting: dict[str, Verdict] = {}
        self._answers: dict[str, list[Entry]] = {}
        self._untested: dict[str, list[Verdict]] = {}
        self.passed_on = 0
        """Tasks of the completion decided last that wait for their answer or their tests."""

    def pool_before(self, category: str, request: int) -> Sequence[Record]:
        """Return the records of a category from requests below this one; later decisions do not change them."""
        return self._kept[category].before(request)

    def waiting(self, name: str) -> tuple[Record, Mapping[str, str]]:
        """Return a task that waits for its answer or its tests, by its id, and the variables of its request."""
        task = self._untested[name][0] if name in self._untested else self._waiting[name]
        return task.record, _entry_of(task).variables

    def results(self, folder: Path, writes: bool = True) -> AbstractContextManager[None]:
        """Use the results of tests in a run directory inside the returned context, which stores new ones if it `writes`."""
        return nullcontext() if self.verification is None else self.verification.stored_in(folder, writes)

    def ready(self, entry: Entry) -> bool:
        """Return whether a completion can be decided on. One with tests can when they have run; they are started here."""
        group = self._untested.get(entry.answers or "") if entry.step == testing.STEP else None
        return group is None or self.verification is None or self.verification.ready(entry, group)

    @property
    def busy(self) -> bool:
        """Whether there are tests whose results are not stored yet."""
        return self.verification is not None and self.verification.busy

    def wait(self) -> None:
        """Wait until tests have run, but not for long."""
        if self.verification is not None:
            self.verification.wait()

    def decide(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """Return the verdicts on the candidates of a completion, in order; those that wait for an answer or tests have none.

        Candidates after `room` kept records are not compared; None means no limit. In a category, the quota replaces `room`.
        Raises `UserError` if the run does not have the category.
        """
        rules = self._rules_of(entry)
        if entry.step == testing.STEP:
            verdicts = self._decide_tested(entry, rules)
        elif entry.step == answers.STEP:
            verdicts = self._decide_answer(entry, rules)
        elif entry.finish_reason == "error":
            record = Record(record_id(entry.request, 0), "", "", "", entry.depth)
            verdicts = [Verdict(record, Drop("generation", "error", entry.error or ""))]
        else:
            verdicts = self._decide_candidates(entry, rules, room)
        waiting, verdicts = self._set_aside(entry, verdicts)
        self.passed_on = len(waiting)
        for verdict in verdicts:
            if verdict.drop is None:
                self.pool.add(verdict.record, entry.request)
                if entry.category is not None:
                    self._kept[entry.category].add(verdict.record, entry.request)
        self._observe(entry, verdicts, waiting)
        return verdicts

    def _set_aside(self, entry: Entry, verdicts: Sequence[Verdict]) -> tuple[dict[str, int], list[Verdict]]:
        """Keep the tasks that wait; return their ids with the steps for which they wait, and the verdicts on the others."""
        waiting, decided = dict[str, int](), list[Verdict]()
        for verdict in verdicts:
            name, later = verdict.record.id, replace(verdict, source=verdict.source or entry)
            if verdict.drop is None and verdict.task:
                self._waiting[name], waiting[name] = later, answers.STEP
            elif verdict.untested:
                self._untested.setdefault(name, []).append(later)
                waiting[name] = testing.STEP
            else:
                decided.append(verdict)
        return waiting, decided

    def save_vectors(self) -> None:
        """Write the vectors of the completion decided last, which the cache still holds in memory."""
        self._novelty.save()

    def unfinished(self) -> list[Verdict]:
        """Drop the tasks without an answer or tests, because the run ended or their category was full; return the verdicts."""
        full = {name for name, rules in self.rules.items() if self._room(name, rules) == 0}

        def dropped(task: Verdict, reason: str) -> Verdict:
            return replace(task, drop=Drop("limit", "quota_reached" if _entry_of(task).category in full else reason))

        return [
            *(dropped(task, "awaiting_response") for task in self._waiting.values()),
            *(
                verdict
                for group in self._untested.values()
                for verdict in _one_kept([dropped(task, "awaiting_tests") for task in group])
            ),
        ]

    def _rules_of(self, entry: Entry) -> Rules:
        if entry.category not in self.rules:
            raise UserError(
                f"request {entry.request} of the journal is of the category {entry.category!r}, but this run has "
                f"{', '.join(filter(None, self.rules)) or 'no categories'}; restore --categories or the journal"
            )
        return self.rules[entry.category]

    def _room(self, category: str | None, rules: Rules, room: int | None = None) -> int | None:
        """Return how many more records may be kept: what the quota of a category leaves, else `room`."""
        if category is None:
            return room
        return None if rules.quota is None else max(0, rules.quota - len(self._kept[category]))

    def _decide_candidates(self, entry: Entry, rules: Rules, room: int | None) -> list[Verdict]:
        candidates = [self._classified(_checked_or_task(item, rules, entry.variables)) for item in _read(entry, rules)]
        texts = {item.record.id: compared_text(item.record, rules.format) for item in candidates if item.drop is None}
        vectors = self._novelty.vectors(texts, rules.bounds)
        left = self._room(entry.category, rules, room)
        full = "target_reached" if entry.category is None else "quota_reached"
        verdicts: list[Verdict] = []
        for item in candidates:
            verdict, name, waits = item, item.record.id, item.task or item.untested
            if left == 0 and not waits and not (item.drop and item.drop.stage == "parse"):
                verdict = Verdict(item.record, Drop("limit", full))
            elif item.drop is None:
                found = self._novelty.add_if_new(name, texts[name], vectors.get(name), rules.bounds)
                verdict = replace(item, drop=found.drop, rouge=found.rouge, embedding=found.embedding)
            if verdict.drop is None and not waits and left is not None:
                left -= 1
            verdicts.append(verdict)
        return verdicts

    def _decide_answer(self, entry: Entry, rules: Rules) -> list[Verdict]:
        """Return the verdicts on the answers to a task when it has all of them: at most one keeps a record.

        There is none before that, or if the task was dropped, as by stricter rules in a refilter.
        """
        name = entry.answers or ""
        task = self._waiting.get(name)
        if task is None or rules.read_answer is None:
            return []
        entries = self._answers.setdefault(name, [])
        entries.append(entry)
        if len(entries) < rules.num_answers:
            return []
        del self._waiting[name], self._answers[name]
        full = self._room(entry.category, rules) == 0
        verdicts = [self._classified(_answered(replace(task, task=False, answer=one), rules, full)) for one in entries]
        return verdicts if rules.num_answers == 1 else _one_kept(_in_one_language(verdicts))

    def _decide_tested(self, entry: Entry, rules: Rules) -> list[Verdict]:
        """Return the verdicts on the answers to a task that have waited for the tests in this completion."""
        group = self._untested.pop(entry.answers or "", None)
        if group is None or self.verification is None:
            return []
        if self._room(entry.category, rules) == 0:
            verdicts = [replace(item, drop=Drop("limit", "quota_reached")) for item in group]
        else:
            verdicts = self.verification.decide(entry, group)
        one = rules.num_answers == 1 or group[0].answer is None  # written in the completion of its task
        return verdicts if one else _one_kept(verdicts)

    def _classified(self, verdict: Verdict) -> Verdict:
        """Return the verdict on a candidate with the language of its code, if the run verifies code."""
        if self.verification is None or verdict.drop is not None or verdict.task:
            return verdict
        return self.verification.classified(verdict)


def _answered(task: Verdict, rules: Rules, full: bool) -> Verdict:
    """Return the verdict on a task with its `answer`; it is dropped if its category is `full`."""
    entry = task.answer
    assert entry is not None and rules.read_answer is not None
    if entry.finish_reason == "error":
        return replace(task, drop=Drop("generation", "error", entry.error or ""))
    block = _read_reply(entry, partial(rules.read_answer, entry, task.record))
    if block.reason:
        return replace(task, drop=Drop("parse", block.reason), text=block.text)
    answered = replace(task, record=replace(task.record, output=block.fields["output"]))
    if full:
        return replace(answered, drop=Drop("limit", "quota_reached"))
    return _checked(answered, rules, entry.variables)


def _one_kept(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the drops among the verdicts on the answers to one task, and the record with the chosen answer, or all answers
    that wait for tests.

    A drop has the id of its answer, except that of the first answer if none passed: it has the id of the task.
    """
    passed = [verdict for verdict in verdicts if verdict.drop is None]
    dropped = [verdict for verdict in verdicts if verdict.drop is not None]
    found = [] if passed else [dropped.pop(0)]
    for verdict in dropped:
        record = replace(verdict.record, id=record_id(_answer_of(verdict).request, 1))
        found.append(replace(verdict, record=record, source=None))
    if any(verdict.untested for verdict in passed):
        return [*found, *passed]
    return [*found, _chosen(verdicts, passed)] if passed else found


def _chosen(verdicts: Sequence[Verdict], passed: Sequence[Verdict]) -> Verdict:
    """Return the verdict with the chosen answer: the first that passed its tests, or the one that most agree with."""
    tested = passed[0].verification is not None
    compared = verdicts if tested else passed
    outputs = [(_answer_of(item).request, item.record.output) for item in compared]
    best, choice = by_tests(outputs, [item.drop is None for item in compared]) if tested else by_agreement(outputs)
    return replace(compared[best], choice=choice)


def _in_one_language(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Drop the answers to a task that have no code in the language of its first answer with code."""
    language = next((item.language for item in verdicts if item.untested), None)
    return [
        replace(item, drop=Drop(STAGE, BROKEN)) if language and not item.drop and item.language != language else item
        for item in verdicts
    ]


def rules_of(
    format: RecordFormat,
    filters: Sequence[Filter],
    bounds: Bounds,
    read_tasks: Callable[[Entry], list[Verdict]] | None = None,
    orphans: bool = False,
    num_answers: int = 1,
) -> Rules:
    """Return the rules of a run from seed tasks. Completions hold whole records in blocks of a format, or tasks without
    outputs if `read_tasks` is given. With `orphans`, a block whose output is missing or cut off becomes a task. Each task gets
    `num_answers` answers.
    """
    check = check_by(filters)
    if read_tasks is None and not orphans:
        return Rules(format, partial(candidates, format), check, bounds)
    parse = read_tasks or partial(candidates, format, orphans=ORPHAN_REASONS)
    of_task = check_by(about_tasks(filters))
    return Rules(format, parse, check, bounds, None, of_task, whole_reply, num_answers=num_answers)


def _read(entry: Entry, rules: Rules) -> list[Verdict]:
    """Return the candidates of a completion. A completion without an answer is one dropped candidate. A thought without an
    end drops the candidate in which it begins.
    """
    if reason := entry.without_answer:
        record = Record(record_id(entry.request, 1), "", "", "", entry.depth)
        return [Verdict(record, Drop("parse", reason), entry.turn.thought)]
    found = rules.parse(entry)
    if not entry.turn.unclosed:
        return found
    last = found[-1] if found else None
    if last is not None and last.drop is not None:
        return [*found[:-1], replace(last, drop=Drop("parse", UNCLOSED))]
    record = Record(record_id(entry.request, len(found) + 1), "", "", "", entry.depth)
    return [*found, Verdict(record, Drop("parse", UNCLOSED), entry.turn.thought)]


def _read_reply(entry: Entry, read: Callable[[], Block]) -> Block:
    """Return the block of a reply. It has a reason if the model did not finish its thought."""
    if reason := entry.without_answer:
        return Block(1, entry.turn.thought, reason=reason)
    block = read()
    return replace(block, reason=UNCLOSED) if block.reason and entry.turn.unclosed else block


def candidates(format: RecordFormat, entry: Entry, *, orphans: Collection[str] = ()) -> list[Verdict]:
    """Return the records of a completion's blocks as candidates; unreadable blocks are dropped.

    A block that is unreadable for one of the reasons in `orphans` becomes a task if it has an instruction.
    """
    found = []
    for block in format.parse(entry.answer, entry.number, entry.cut):
        task = block.reason in orphans and bool(block.fields.get("instruction"))
        fields = block.fields if task or not block.reason else {}
        values = {"instruction": "", "input": "", "output": "", **fields}
        record = Record(record_id(entry.request, block.position), **values, depth=entry.depth)
        drop = Drop("parse", block.reason) if block.reason and not task else None
        found.append(Verdict(record, drop, block.text if drop else "", task=task))
    return found


def check_by(filters: Sequence[Filter], validators: Sequence[Validator] = ()) -> Check:
    """Return a check that applies filters, then validators; the reason is that of the first that rejects."""

    def check(record: Record, variables: Mapping[str, str]) -> Record | Drop:
        stage, found = "filter", first_reason(filters, record) or record
        if isinstance(found, Record):
            stage, found = "validate", validate(validators, record, variables)
        if isinstance(found, Record):
            return found
        reason, _, detail = found.partition(": ")
        return Drop(stage, reason, detail)

    return check


def compared_text(record: Record, format: RecordFormat) -> str:
    """Return the text to compare: with the input only if the format has no input field."""
    return record.instruction if "input" in format.fields else record.task


def _checked(verdict: Verdict, rules: Rules, variables: Mapping[str, str]) -> Verdict:
    check = rules.check_task if verdict.task else rules.check
    if verdict.drop is not None or check is None:
        return verdict
    found = check(verdict.record, variables)
    return replace(verdict, drop=found) if isinstance(found, Drop) else replace(verdict, record=found)


def _checked_or_task(candidate: Verdict, rules: Rules, variables: Mapping[str, str]) -> Verdict:
    """Check a candidate by its rules. If these ask again, a record of which only the output is rejected becomes a task."""
    found = _checked(candidate, rules, variables)
    if not rules.asks_again or candidate.task or candidate.drop is not None or found.drop is None:
        return found
    without_output = replace(candidate, record=replace(candidate.record, output=""), task=True)
    task = _checked(without_output, rules, variables)
    return task if task.drop is None else found


def _entry_of(task: Verdict) -> Entry:
    assert task.source is not None, "a waiting task has a completion"
    return task.source


def _answer_of(verdict: Verdict) -> Entry:
    assert verdict.answer is not None, "an answer has a completion"
    return verdict.answer
