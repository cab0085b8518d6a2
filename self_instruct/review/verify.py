"""Verify code answers: a model writes tests from the task and the signatures, and a sandbox runs them against the answer.

Tests that accept a right answer may accept anything. Therefore they must also reject an answer that does nothing and most
of the answer's mutants; otherwise they count as vacuous. `tests.jsonl` holds the tests as written and the results of running
them, and the decision is a function of both.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from self_instruct.config.option import taken
from self_instruct.datasets.thoughts import after_thought
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptComposer, read_header
from self_instruct.generation.testing import FORMAT, HEADER, examples, question, usable_tests
from self_instruct.records import Record
from self_instruct.review.ask import ReviewResult, unread_lines
from self_instruct.review.dataset import DatasetReviewer, model_config, read_sources
from self_instruct.review.options import JUDGE_DECIDING, VERIFY_SAMPLING
from self_instruct.review.predictions import ERROR, Prediction, PredictionFile, Trial
from self_instruct.rules.execution.languages import asks_for_code, code_in
from self_instruct.rules.execution.running import BROKEN, NO_TESTS, PASSED, VACUOUS, Execution, Runner, restored
from self_instruct.rules.execution.running import OUTCOMES as VERDICTS
from self_instruct.rules.options import VerifyOptions
from self_instruct.rules.sandbox import open_sandbox
from self_instruct.runs.layout import TESTS, VERIFIED, VERIFY_REPORT

OUTCOMES = {
    **VERDICTS,
    "not_code": "the answer has no code in the languages of --verify, and the task does not ask for it",
    "not_asked": "the model has not answered yet, or its tests have not run yet",
}


@dataclass
class Verifier(DatasetReviewer):
    """Verifies the code answers of a dataset, and keeps the records whose answer passes."""

    options: VerifyOptions

    purpose = "verify"
    deciding = JUDGE_DECIDING
    answers = "records have tests"
    answer_noun = "tests"
    captions = ("the kept records, unchanged", "the tests as written and their results, with the record's id")

    @property
    def format(self) -> RecordFormat:
        """Task, signature, tests."""
        return FORMAT

    @cached_property
    def codes(self) -> dict[str, tuple[str, str]]:
        """The language and the code of the answers that have any, by record id."""
        found = {record.id: code_in(record, self.options.verify) for record, _ in self.dataset}
        return {name: code for name, code in found.items() if code is not None}

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records with code, by id, as the model sees them: task and signatures, without the bodies."""
        return {
            record.id: question(record, *self.codes[record.id])
            for record, _ in self.dataset
            if record.id in self.codes
        }

    @cached_property
    def trials(self) -> list[Trial]:
        """One trial for each record with code."""
        return [(name, 0) for name in self.records]

    def demonstrations(self) -> list[Record]:
        """Tasks with signatures and tests in the first language."""
        return examples(self.options.verify[0])

    def composer_for(self, composer: PromptComposer, record: Record) -> PromptComposer:
        """Return the composer with demonstrations in the language of a record."""
        return replace(composer, seeds=examples(self.codes[record.id][0]))

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Check the stored tests and, before a model writes new ones, that a sandbox can run them."""
        super().check(found)
        if self.asks:
            open_sandbox(self.options.sandbox)

    def tests(self, item: Prediction) -> list[str]:
        """Return the tests in a stored answer."""
        written, text = (after_thought(one) if one is not None else None for one in (item.prediction, item.text))
        language, code = self.codes[item.record]
        return usable_tests(written, text or "", item.finish_reason, language, code, self.options.num_tests)

    def complete(self, file: PredictionFile, interrupted: Callable[[], str | None]) -> str | None:
        """Run the tests that have no current result, in parallel, and store the results."""
        items = [item for item in self.current(file.latest).values() if item is not None]
        pending = {item.record: (item, tests) for item in items if (tests := self.tests(item))}
        pending = {name: one for name, one in pending.items() if self._result(*one) is None}
        if not pending:
            return None
        runner = Runner(self.options.sandbox, self.options.test_seconds)
        progress = Progress(len(pending), unit="answers run", every=self.config.reporting.heartbeat_seconds)
        try:
            progress.begin(0)
            futures = {runner.execute(*self.codes[name], tests): item for name, (item, tests) in pending.items()}
            for done, future in enumerate(as_completed(futures), start=1):
                file.append([replace(futures[future], execution=asdict(runner.result(future)))])
                progress.reach(done)
                if reason := interrupted():
                    return reason
        finally:
            runner.close()
            progress.close()
        return None

    def decide(self, found: Mapping[Trial, Prediction]) -> ReviewResult:
        """Keep the records whose answer passes tests that are not vacuous."""
        current = self.current(found)
        outcomes = {record.id: self._outcome(record, current.get(record.id)) for record, _ in self.dataset}
        kept = [line + b"\n" for record, line in self.dataset if outcomes[record.id] == PASSED]
        answers = [item for item in current.values() if item is not None]
        counted = Counter(outcomes[record.id] for record, _ in self.dataset)
        tokens = sum(item.completion_tokens for item in answers)
        counts = {
            "records": len(self.dataset), "kept": len(kept), "outcomes": {name: counted[name] for name in OUTCOMES},
            "tests": sum(len(self.tests(item)) for item in answers),
            "prompt_tokens": sum(item.prompt_tokens for item in answers), "completion_tokens": tokens,
            "tokens_per_kept_record": round(tokens / len(kept), 1) if kept else None,
            "models": [
                {"model": model, "model_revision": revision}
                for model, revision in sorted({(item.model, item.model_revision) for item in answers})
            ],
            "sandboxes": sorted({item.execution["sandbox"] for item in answers if item.execution}),
            "inputs": [{"path": path} for path in self.inputs],
            "options": {**asdict(self.options), **self.given_options},
        }  # fmt: skip
        unread = [(item, item.reason or NO_TESTS) for item in answers if outcomes[item.record] == NO_TESTS]
        lines = unread_lines("answer", unread, len(answers))
        option = ("mutation_score_threshold", 0.6 if self.options.mutation_score_threshold == 0.8 else 0.8)
        useful = counted[PASSED] or counted[VACUOUS]
        return ReviewResult(
            kept, counts, [table(counts), *(["", *lines] if lines else []), ""], option if useful else None
        )

    def _outcome(self, record: Record, item: Prediction | None) -> str:
        if record.id not in self.codes:
            return BROKEN if asks_for_code(record, self.options.verify) else "not_code"
        if item is None or item.reason == ERROR:
            return "not_asked"
        tests = self.tests(item)
        if not tests:
            return NO_TESTS
        result = self._result(item, tests)
        return "not_asked" if result is None else result.verdict(self.options.mutation_score_threshold)

    def _result(self, item: Prediction, tests: list[str]) -> Execution | None:
        """Return the stored result of these tests; None if there is none, or if the code or an option has changed since."""
        found = restored(item.execution)
        current = found is not None and found.is_of(*self.codes[item.record], tests, self.options.test_seconds)
        return found if current else None


def table(counts: Mapping[str, Any]) -> str:
    """Format the counts for printing."""
    lines = [
        f"{counts['kept']:,} of {counts['records']:,} records were kept: their answers pass tests that are not vacuous.",
        "",
    ]
    found = counts["outcomes"]
    lines += [f"  {name:<12}{found[name]:>8,}  {text}" for name, text in OUTCOMES.items() if found[name]]
    spent = f"{counts['tests']:,} tests, {counts['completion_tokens']:,} tokens"
    rate = counts["tokens_per_kept_record"]
    return "\n".join([*lines, "", spent + (f", {rate:,.0f} for each kept record" if rate is not None else "")])


def verifier_of(given: Mapping[str, Any]) -> Verifier:
    """Return the verifier for the given options. Raises UserError for a wrong option, and for records that cannot be read."""
    header = read_header(Path(given["prompt_path"])) if "prompt_path" in given else HEADER
    options = taken(VerifyOptions, {"verify": ["python"], **given})
    if not options.verify:
        raise UserError("--verify: is empty; give at least one language")
    config = model_config(given, VERIFY_SAMPLING, len(examples(options.verify[0])))
    names, endings = (TESTS, VERIFIED, VERIFY_REPORT), (f".{TESTS}", f".{VERIFY_REPORT}")
    return Verifier(config, header, given, *read_sources(given, "verify", names, endings), options)
