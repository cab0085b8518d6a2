"""Best of N: score the stored answers of a run's records, and make the best one the output.

The answers are those of --num_answers, which the run keeps in the provenance of its records, so nothing is generated. Answers
that agree on a short final answer, or that the run has tested, keep the run's choice; code is scored by tests, and all others
by the stored judgements of a judge or by a reward model. Scores are stored as they are computed, so the command continues
after a stop; those of a judge are read from its own file.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from self_instruct.errors import UserError
from self_instruct.generation.answers import user_message
from self_instruct.generation.choice import CHOSEN, Several, best_of, describe, several_answers
from self_instruct.generation.choice import TESTS as BY_TESTS
from self_instruct.generation.earlier_run import read_run
from self_instruct.generation.progress import Progress
from self_instruct.records import Record, json_line
from self_instruct.review.judge import judge_of
from self_instruct.review.options import BestOfNOptions
from self_instruct.review.predictions import read_predictions
from self_instruct.rules.execution.asserts import with_name
from self_instruct.rules.execution.languages import LANGUAGES
from self_instruct.rules.execution.running import PASSED, VACUOUS, Execution, Runner, restored
from self_instruct.rules.options import VerifyOptions
from self_instruct.runs.files import AppendedFile, line_reader, put
from self_instruct.runs.journal import Entry, read_journal
from self_instruct.runs.layout import ANSWER_SCORES, BEST_OF_N, BEST_OF_N_REPORT, JUDGEMENTS, TESTS
from self_instruct.runs.writer import response_of

JUDGE, REWARD = "judge", "reward_model"
UNCHANGED = "unchanged"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnswerScore:
    """The score of an answer `by` a reward model or tests; `scorer` is the model and its revision, or a hash of the tests."""

    record: str
    request: int
    output_sha256: str
    by: str
    scorer: str
    score: float | None


class Scores:
    """The stored scores of a run's answers."""

    def __init__(self, folder: Path) -> None:
        kinds = {"record": str, "request": int, "output_sha256": str, "by": str, "scorer": str, "score": float | None}
        self._file = AppendedFile(folder / ANSWER_SCORES, line_reader(AnswerScore, kinds, "a score of an answer"))
        self._found = {_key(item): item.score for item in self._file.found}

    def add(self, items: Sequence[AnswerScore]) -> None:
        """Store scores, and return when they are on disk."""
        self._file.append(map(asdict, items))
        self._found.update((_key(item), item.score) for item in items)

    def of(self, several: Several, by: str, scorer: str) -> list[float | None] | None:
        """Return the scores of all answers to a record, or None if one is missing."""
        keys = [_key(one) for one in unscored(several, by, scorer)]
        return [self._found[key] for key in keys] if all(key in self._found for key in keys) else None

    def missing(self, records: Iterable[Several], by: str, scorer: str) -> list[tuple[Several, AnswerScore, str]]:
        """Return the answers without a score: the record, the score to fill in, and the output."""
        return [
            (several, item, output)
            for several in records
            for item, (_, output) in zip(unscored(several, by, scorer), several.answers, strict=True)
            if _key(item) not in self._found
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def best_of_n(folder: Path, options: BestOfNOptions, sandbox: VerifyOptions) -> str:
    """Score the answers of a run, write the records with the best ones, and return the summary.

    Raises UserError for a wrong option, and if no record has several answers.
    """
    if options.reward_model is None and not options.run_tests and not options.judged:
        raise UserError(
            "none of --run_tests, --judged and --reward_model is given; give at least one way to score answers"
        )
    dataset = read_run(folder).dataset()
    several = {record.id: found for record, row in dataset if (found := several_answers(record, row))}
    if not several:
        raise UserError(
            f"{folder}: no record has several answers; generate with --num_answers 4, or another number above 1"
        )
    open_ones = {name: item for name, item in several.items() if item.is_open}
    tests = stored_tests(folder) if options.run_tests else {}
    if options.run_tests and not tests and not any(item.by == BY_TESTS for item in several.values()):
        raise UserError(f"--run_tests: {folder / TESTS} holds no tests; run `self-instruct verify {folder}` first")
    chosen: dict[str, tuple[str, list[float | None]]] = {}
    scores = Scores(folder)
    try:
        if options.run_tests:
            chosen.update(_by_tests(scores, [open_ones[name] for name in open_ones if name in tests], tests, sandbox))
        if options.judged:
            chosen.update(_by_judge(folder, [name for name in open_ones if name not in chosen]))
        if options.reward_model is not None:
            others = [open_ones[name] for name in open_ones if name not in chosen]
            chosen.update(_by_reward(scores, others, options.reward_model, options.reward_batch_size))
    finally:
        scores.close()
    lines, counts = _rewritten(folder, [row for _, row in dataset], several, chosen)
    report = {"records": len(dataset), "several_answers": len(several), **counts, "options": asdict(options)}
    put(folder / BEST_OF_N, b"".join(lines))
    put(folder / BEST_OF_N_REPORT, (json.dumps(report, indent=2) + "\n").encode())
    return _summary(folder, report)


def stored_tests(folder: Path) -> dict[str, Execution]:
    """Return the results of the tests that verify has run on each record of a run, without those that it found vacuous."""
    found: dict[str, Execution] = {}
    for (name, _), item in read_predictions(folder, TESTS).items():
        execution = restored(item.execution)
        if execution is None or execution.language not in LANGUAGES:  # not run, or by another version
            continue
        useful = execution.verdict(VerifyOptions().mutation_score_threshold) != VACUOUS
        if useful and isinstance(execution.tests, list) and all(isinstance(test, str) for test in execution.tests):
            found[name] = execution
    return found


def unscored(several: Several, by: str, scorer: str) -> Iterator[AnswerScore]:
    """Yield the scores to fill in for the answers to a record."""
    for request, output in several.answers:
        digest = hashlib.sha256(output.encode("utf-8", "surrogatepass")).hexdigest()
        yield AnswerScore(several.record.id, request, digest, by, scorer, None)


def _by_tests(
    scores: Scores, records: Sequence[Several], tests: Mapping[str, Execution], options: VerifyOptions
) -> dict[str, tuple[str, list[float | None]]]:
    """Score answers by the number of tests that they pass; an answer without code passes none. Tests that all answers pass
    equally do not choose. An answer that verify has run, or another answer with the same code, is not run again.
    """
    names = {item.record.id: _hash([*tests[item.record.id].tests, str(options.test_seconds)]) for item in records}
    missing = [found for item in records for found in scores.missing([item], BY_TESTS, names[item.record.id])]
    known, pending = list[AnswerScore](), dict[tuple[str, str], _Program]()
    for several, item, output in missing:
        stored = tests[item.record]
        code = LANGUAGES[stored.language].code_of(several.record.task, output)
        number = 0 if code is None else _number_passed(stored, code, options.test_seconds)
        if code is None or number is not None:
            known.append(replace(item, score=float(number or 0)))
        else:
            program = _Program(stored.language, code, _tests_of(several.record, stored, code), [])
            pending.setdefault((item.record, code), program).items.append(item)
    scores.add(known)
    if pending:
        _run(scores, list(pending.values()), options)
    scored = _scored(BY_TESTS, {item.record.id: scores.of(item, BY_TESTS, names[item.record.id]) for item in records})
    return {name: (by, values) for name, (by, values) in scored.items() if len(set(values)) > 1}


class _Program(NamedTuple):
    """Code to run with tests, and the scores that its result fills in."""

    language: str
    code: str
    tests: list[str]
    items: list[AnswerScore]


def _tests_of(record: Record, stored: Execution, code: str) -> list[str]:
    """Return the tests for the code of an answer. They were written for the output of the record; an answer whose only
    function has another name is called by that name.
    """
    language = LANGUAGES[stored.language]
    tested = language.code_of(record.task, record.output)
    return stored.tests if tested is None else with_name(stored.tests, language.names(tested), language.names(code))


def _run(scores: Scores, programs: Sequence[_Program], options: VerifyOptions) -> None:
    """Run programs, and store the scores of the answers that contain them."""
    runner = Runner(options.sandbox, options.test_seconds)
    try:
        started = [(item.items, runner.passed(item.language, item.code, item.tests)) for item in programs]
        for items, future in _shown(started, "answers run"):
            number = float(runner.result(future))
            scores.add([replace(item, score=number) for item in items])
    finally:
        runner.close()


def _number_passed(stored: Execution, code: str, test_seconds: float) -> int | None:
    """Return how many tests the code passes by the stored result; None if that does not say so, or is of other code."""
    if not stored.is_of(stored.language, code, stored.tests, test_seconds):
        return None
    if stored.outcome == PASSED:
        return len(stored.tests)
    return 0 if len(stored.tests) == 1 else None  # one of several tests has failed


def _by_reward(
    scores: Scores, records: Sequence[Several], name: str, batch_size: int
) -> dict[str, tuple[str, list[float | None]]]:
    """Score answers by a reward model, in batches of similar length. A text longer than its context gets no score."""
    from self_instruct.engines.local.reward import RewardModel

    model = RewardModel(name)
    scorer = f"{Path(name).name if Path(name).exists() else name}@{model.revision}"
    texts = [
        (item, model.encode(user_message(several.record), output))
        for several, item, output in scores.missing(records, REWARD, scorer)
    ]
    if too_long := [item for item, tokens in texts if tokens is None]:
        _log.warning("%d answers are longer than the context of the reward model and get no score.", len(too_long))
        scores.add(too_long)
    pending = sorted(((len(tokens), at) for at, (_, tokens) in enumerate(texts) if tokens), reverse=True)
    batches = [pending[at : at + batch_size] for at in range(0, len(pending), batch_size)]
    for batch in _shown(batches, "batches scored"):
        found = model.scores([texts[at][1] or [] for _, at in batch])
        scores.add([replace(texts[at][0], score=score) for (_, at), score in zip(batch, found, strict=True)])
    return _scored(REWARD, {item.record.id: scores.of(item, REWARD, scorer) for item in records})


def _by_judge(folder: Path, names: Sequence[str]) -> dict[str, tuple[str, list[float | None]]]:
    """Return the means of the stored judgements of the records `names`. An answer with an unknown verdict has no score.

    Raises UserError if no record has judgements of all its answers.
    """
    means = judge_of({"batch_dir": str(folder), "all_answers": True}).means(read_predictions(folder, JUDGEMENTS))
    missing = sum(name not in means for name in names)
    problem, command = "holds no judgements of all answers to", f"run `self-instruct judge {folder} --all_answers`"
    if missing and missing == len(names):
        raise UserError(f"--judged: {folder / JUDGEMENTS} {problem} any record; {command} first")
    if missing:
        _log.warning(
            "%s %s %d of %d records; %s again with its model.", JUDGEMENTS, problem, missing, len(names), command
        )
    return _scored(JUDGE, {name: means.get(name) for name in names})


def _scored(by: str, found: Mapping[str, list[float | None] | None]) -> dict[str, tuple[str, list[float | None]]]:
    """Return the scores of the records of which any answer has one."""
    return {name: (by, values) for name, values in found.items() if values and any(v is not None for v in values)}


def _rewritten(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    several: Mapping[str, Several],
    chosen: Mapping[str, tuple[str, list[float | None]]],
) -> tuple[list[bytes], dict[str, Any]]:
    """Return the lines of all records, with the chosen outputs, and the counts."""
    entries = {entry.request: entry for entry in read_journal(folder) if entry.answers is not None}
    lines, by, changed, pairs = list[bytes](), Counter[str](), 0, 0
    for row in rows:
        name = row["provenance"]["id"]
        item = several.get(name)
        found = row
        if item is not None and name in chosen:
            found = _with_choice(item, *chosen[name], entries)
            by[chosen[name][0]] += 1
            changed += found["output"] != row["output"]
        elif item is not None:
            by[UNCHANGED if item.is_open else item.by] += 1
        choice = found["provenance"].get("choice") or {}
        pairs += any(answer.get("mark") == CHOSEN for answer in choice.get("answers", ()))
        lines.append(json_line(found))
    return lines, {"chosen_by": dict(sorted(by.items())), "changed_outputs": changed, "pairs": pairs}


def _with_choice(item: Several, by: str, scores: list[float | None], entries: Mapping[int, Entry]) -> dict[str, Any]:
    """Return the row of a record with the answer of the highest score as its output."""
    request, output = item.answers[best_of(scores)]
    entry = entries.get(request)
    if entry is None:
        raise UserError(f"record {item.record.id}: the journal has no request {request}; restore the run's journal")
    thought = {"reasoning_content": entry.turn.thought} if "reasoning_content" in item.row else {}
    about = {"response": response_of(entry), "choice": describe(by, item.answers, scores)}
    return {**item.row, "output": output, **thought, "provenance": {**item.row["provenance"], **about}}


def _summary(folder: Path, report: Mapping[str, Any]) -> str:
    lines = [
        f"{report['several_answers']:,} of {report['records']:,} records have several answers.",
        "",
        *(f"  {name:<24}{number:>8,}" for name, number in report["chosen_by"].items()),
        "",
        f"{report['changed_outputs']:,} outputs have changed; {report['pairs']:,} records have a better and a worse answer.",
        f"Files in {folder}:",
        f"  {BEST_OF_N:<32} all records, with the best answers as outputs",
        f"  {ANSWER_SCORES:<32} the scores by tests and by a reward model",
        f"  {BEST_OF_N_REPORT:<32} the counts",
        "Next:",
        f"  self-instruct convert {folder / BEST_OF_N} --to preference --output_path pairs.jsonl",
    ]
    return "\n".join(lines)


def _shown(items: Sequence[Any], unit: str) -> Iterator[Any]:
    """Yield items, and show the progress."""
    progress = Progress(len(items), unit=unit)
    progress.begin(0)
    try:
        for done, item in enumerate(items, start=1):
            yield item
            progress.reach(done)
    finally:
        progress.close()


def _key(item: AnswerScore) -> tuple[str, int, str, str, str]:
    return item.record, item.request, item.output_sha256, item.by, item.scorer


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:16]
