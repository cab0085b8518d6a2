"""Verify Python answers: a model writes tests from the task and the signatures, and a sandbox runs them against the answer.

Tests that accept a right answer may accept anything. Therefore they must also reject the answer with empty functions and most
of its mutants; otherwise they count as vacuous. `tests.jsonl` holds the tests as written and the results of running them, and
the decision is a function of both.
"""

import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from self_instruct.config.option import taken
from self_instruct.datasets.thoughts import after_thought
from self_instruct.engines.base import CUT
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, RecordFormat
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import read_header
from self_instruct.records import Record
from self_instruct.review.ask import Decision, unread_lines
from self_instruct.review.code import code_of, emptied, mutants, parse_tests, signatures, wants_python
from self_instruct.review.dataset import DatasetReviewer, model_config, read_sources
from self_instruct.review.options import JUDGE_DECIDING, VERIFY_SAMPLING, VerifyOptions
from self_instruct.review.predictions import ERROR, Prediction, PredictionFile, Trial
from self_instruct.rules.sandbox import FINISHED, TIMEOUT, Limits, Sandbox, SandboxError, open_sandbox
from self_instruct.runs.layout import TESTS, VERIFIED, VERIFY_REPORT

FORMAT = INSTRUCTION_INPUT_OUTPUT.with_triggers(instruction="Task", input="Signature", output="Tests")
MUTANTS = 10
PASSED, FAILED, VACUOUS = "passed", "failed", "vacuous"
OUTCOMES = {
    PASSED: "the answer passes its tests, and they reject its mutants",
    FAILED: "the answer fails its tests",
    TIMEOUT: "the answer or a test takes too long",
    VACUOUS: "the tests also accept empty functions or too many mutants",
    "no_tests": "the model wrote no usable test",
    "broken_code": "the task asks for Python, but the answer does not parse or has no function or class",
    "not_code": "the answer has no Python code, and the task does not ask for it",
    "not_asked": "the model has not answered yet, or its tests have not run yet",
}
_DETAIL = 200  # characters

HEADER = (
    "Below are programming tasks, each with the signature of its solution in Python and three to five tests of it. A test is "
    "an assert that calls the solution with small values and compares the result with what the task asks for. The tests cover "
    "an ordinary case, an edge case such as an empty input, and a case that a careless solution gets wrong."
)
"""The header of the prompt for tests."""

EXAMPLES = (
    ("Write a Python function that returns the average of a list of numbers, and 0 for an empty list.",
     "def average(numbers):",
     "assert average([2, 4]) == 3\nassert average([]) == 0\nassert average([5]) == 5\nassert average([-1, 1, 3]) == 1"),
    ("Implement count_vowels(text) in Python; upper and lower case both count.",
     "def count_vowels(text: str) -> int:",
     "assert count_vowels('banana') == 3\nassert count_vowels('') == 0\nassert count_vowels('SKY') == 0\n"
     "assert count_vowels('AEiou') == 5"),
    ("Write a class Stack in Python with push, pop and size. pop returns None if the stack is empty.",
     "class Stack:\n    def __init__(self):\n    def push(self, item):\n    def pop(self):\n    def size(self):",
     "def test_order():\n    stack = Stack()\n    stack.push(1)\n    stack.push(2)\n    assert stack.size() == 2\n"
     "    assert stack.pop() == 2\n    assert stack.pop() == 1\nassert Stack().pop() is None\nassert Stack().size() == 0"),
)  # fmt: skip
"""The demonstrations: tasks, signatures and tests."""

_DRIVER = """
import json, os, pathlib, sys
sys.path.insert(0, os.getcwd())
pathlib.Path("answer.py").write_text({code!r}, "utf-8")
import answer
for test in json.loads({tests!r}):
    exec(compile(test, "test", "exec"), vars(answer))
sys.stdout.flush()
os.write(1, {proof!r})
os._exit(0)
"""
"""The program in the sandbox. It prints a random proof that all tests ran, because an answer may end the process early."""


@dataclass(frozen=True)
class Execution:
    """The result of running tests: `outcome` is passed, failed or timeout.

    If the answer passes, `emptied_passes` says whether it passes with empty functions too, and the tests reject `killed` of
    its `mutants`.
    """

    outcome: str
    detail: str
    tests: list[str]
    code_sha256: str
    test_seconds: float
    sandbox: str
    seconds: float
    emptied_passes: bool = False
    mutants: int = 0
    killed: int = 0

    def verdict(self, threshold: float) -> str:
        """Return the outcome, or vacuous if the tests also accept empty functions or too many mutants."""
        few = self.emptied_passes or self.killed < threshold * self.mutants
        return VACUOUS if self.outcome == PASSED and few else self.outcome


def execute(code: str, tests: Sequence[str], sandbox: Sandbox) -> Execution:
    """Run the tests against the code and, if it passes, against its mutants."""
    passes, name, detail, seconds = _run(code, tests, sandbox)
    found = Execution(
        PASSED if passes else TIMEOUT if name == TIMEOUT else FAILED, "" if passes else detail, list(tests), _sha256(code),
        sandbox.limits.seconds, sandbox.mode, round(seconds, 3),
    )  # fmt: skip
    if not passes:
        return found
    if _run(emptied(code), tests, sandbox)[0]:
        return replace(found, emptied_passes=True)
    variants = mutants(code, MUTANTS)
    return replace(found, mutants=len(variants), killed=sum(not _run(one, tests, sandbox)[0] for one in variants))


def passed(code: str, tests: Sequence[str], sandbox: Sandbox) -> int:
    """Return how many of the tests the code passes, each in a run of its own."""
    return sum(_run(code, [test], sandbox)[0] for test in tests)


def _run(code: str, tests: Sequence[str], sandbox: Sandbox) -> tuple[bool, str, str, float]:
    """Run tests against code; return whether it passes them all, the sandbox's outcome, the last line printed, and seconds."""
    proof = secrets.token_hex()
    outcome = sandbox.run(_DRIVER.format(code=code, tests=json.dumps(tests), proof=proof.encode()))
    lines = [line for line in outcome.output.splitlines() if line.strip()] or [outcome.name]
    passes = outcome.name == FINISHED and outcome.output.endswith(proof)
    return passes, outcome.name, lines[-1][:_DETAIL], outcome.seconds


@dataclass
class Verifier(DatasetReviewer):
    """Verifies the Python answers of a dataset, and keeps the records whose answer passes."""

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
    def codes(self) -> dict[str, str]:
        """The Python code of the answers that have any, by record id."""
        found = {record.id: code_of(record.output) for record, _ in self.dataset}
        return {name: code for name, code in found.items() if code is not None}

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records with code, by id, as the model sees them: task and signatures, without the bodies."""
        return {
            record.id: Record(record.id, record.task, signatures(self.codes[record.id]), "")
            for record, _ in self.dataset
            if record.id in self.codes
        }

    @cached_property
    def trials(self) -> list[Trial]:
        """One trial for each record with code."""
        return [(name, 0) for name in self.records]

    def demonstrations(self) -> list[Record]:
        """Tasks with signatures and tests."""
        return [Record(f"example-{number}", *texts) for number, texts in enumerate(EXAMPLES, start=1)]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Check the stored tests and, before a model writes new ones, that a sandbox can run them."""
        super().check(found)
        if self.asks:
            self._sandbox()

    def tests(self, item: Prediction) -> list[str]:
        """Return the tests in a stored answer."""
        text = item.prediction
        if text is None and item.finish_reason in CUT:  # only the last line is cut off
            text = item.text.rpartition("\n")[0]
        answer = after_thought(text) if text is not None else None
        return parse_tests(answer, self.codes[item.record], self.options.num_tests) if answer is not None else []

    def complete(self, file: PredictionFile, interrupted: Callable[[], str | None]) -> str | None:
        """Run the tests that have no current result, in parallel, and store the results."""
        items = [item for item in self.current(file.latest).values() if item is not None]
        pending = {item.record: (item, tests) for item in items if (tests := self.tests(item))}
        pending = {name: one for name, one in pending.items() if self._result(*one) is None}
        if not pending:
            return None
        sandbox = self._sandbox()
        progress = Progress(len(pending), unit="answers run", every=self.config.reporting.heartbeat_seconds)
        threads = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            progress.begin(0)
            futures = {
                threads.submit(execute, self.codes[name], tests, sandbox): item
                for name, (item, tests) in pending.items()
            }
            for done, future in enumerate(as_completed(futures), start=1):
                file.append([replace(futures[future], execution=asdict(future.result()))])
                progress.reach(done)
                if reason := interrupted():
                    return reason
        except SandboxError as error:
            raise UserError(
                f"--sandbox {self.options.sandbox}: {sandbox.mode} failed ({error}); try another mode"
            ) from None
        finally:
            threads.shutdown(cancel_futures=True)
            progress.close()
        return None

    def decide(self, found: Mapping[Trial, Prediction]) -> Decision:
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
        unread = [(item, item.reason or "no_tests") for item in answers if outcomes[item.record] == "no_tests"]
        lines = unread_lines("answer", unread, len(answers))
        option = ("mutation_score_threshold", 0.6 if self.options.mutation_score_threshold == 0.8 else 0.8)
        useful = counted[PASSED] or counted[VACUOUS]
        return Decision(
            kept, counts, [table(counts), *(["", *lines] if lines else []), ""], option if useful else None
        )

    def _sandbox(self) -> Sandbox:
        return open_sandbox(self.options.sandbox, Limits(seconds=self.options.test_seconds))

    def _outcome(self, record: Record, item: Prediction | None) -> str:
        if record.id not in self.codes:
            return "broken_code" if wants_python(record) else "not_code"
        if item is None or item.reason == ERROR:
            return "not_asked"
        tests = self.tests(item)
        if not tests:
            return "no_tests"
        result = self._result(item, tests)
        return "not_asked" if result is None else result.verdict(self.options.mutation_score_threshold)

    def _result(self, item: Prediction, tests: list[str]) -> Execution | None:
        """Return the stored result of these tests; None if there is none, or if the code or an option has changed since."""
        stored = item.execution
        if not stored:
            return None
        now = {
            "tests": tests,
            "code_sha256": _sha256(self.codes[item.record]),
            "test_seconds": self.options.test_seconds,
        }
        if any(stored.get(name) != value for name, value in now.items()):
            return None
        try:
            return Execution(**stored)
        except TypeError:  # another version wrote other fields
            return None


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
    config = model_config(given, VERIFY_SAMPLING, len(EXAMPLES))
    names, endings = (TESTS, VERIFIED, VERIFY_REPORT), (f".{TESTS}", f".{VERIFY_REPORT}")
    return Verifier(config, header, given, *read_sources(given, "verify", names, endings), taken(VerifyOptions, given))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
