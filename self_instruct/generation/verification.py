"""Verify code: run the answers of a run against the tests that the model wrote for them, and decide which to keep.

Tests run beside generation, in the processes of the sandbox. Their results are on disk before a decision is made from them, so
the dataset is a function of the journal, these results and the options.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from self_instruct.generation.prompts import read_last
from self_instruct.generation.testing import FORMAT, question, usable_tests
from self_instruct.records import Drop
from self_instruct.rules.execution.asserts import with_name
from self_instruct.rules.execution.languages import LANGUAGES, asks_for_code, code_in
from self_instruct.rules.execution.running import BROKEN, NO_TESTS, PASSED, VACUOUS, Execution, Runner, restored
from self_instruct.rules.options import VerifyOptions
from self_instruct.runs.files import AppendedFile, line_reader, read_lines
from self_instruct.runs.journal import Entry
from self_instruct.runs.layout import EXECUTIONS
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.verified import STAGE

_WAIT_SECONDS = 0.2  # between two looks at a signal


@dataclass(frozen=True)
class StoredExecution:
    """The `execution` of the tests from one request for the answer in the completion of another request."""

    request: int
    answer: int
    execution: dict[str, Any]


Key = tuple[int, int]
_read = line_reader(StoredExecution, {"request": int, "answer": int, "execution": dict}, "a result of tests")


class Verification:
    """Runs tests and decides from their results. A group holds the verdicts on all answers to one task that have code."""

    def __init__(self, options: VerifyOptions) -> None:
        self.options = options
        self._found: dict[Key, Execution] = {}
        self._pending: dict[Key, Future[Execution]] = {}
        self._file: AppendedFile[StoredExecution] | None = None
        self._runner: Runner | None = None

    @contextmanager
    def stored_in(self, folder: Path, writes: bool = True) -> Iterator[None]:
        """Inside this block, use the results stored in a run directory; with `writes`, store new ones there too."""
        path = folder / EXECUTIONS
        if writes:
            self._file = AppendedFile(path, _read)
            found = self._file.found
        else:
            found = read_lines(path, _read).found if path.is_file() else []
        results = {(item.request, item.answer): restored(item.execution) for item in found}
        self._found = {key: result for key, result in results.items() if result is not None}
        try:
            yield
        finally:
            if self._runner is not None:
                self._runner.close()
            if self._file is not None:
                self._file.close()

    def classified(self, verdict: Verdict) -> Verdict:
        """Return the verdict on a whole record with the language of its code. Drop a task that asks for code if its answer has
        none that can be tested.
        """
        languages = self.options.verify
        if (found := code_in(verdict.record, languages)) is not None:
            return replace(verdict, language=found[0])
        return replace(verdict, drop=Drop(STAGE, BROKEN)) if asks_for_code(verdict.record, languages) else verdict

    @property
    def busy(self) -> bool:
        """Whether there are tests whose results are not stored yet."""
        return bool(self._pending)

    def wait(self) -> None:
        """Wait a moment for running tests, and store the results of those that have finished."""
        wait(self._pending.values(), _WAIT_SECONDS, FIRST_COMPLETED)
        self._collect()

    def ready(self, entry: Entry, group: Sequence[Verdict]) -> bool:
        """Return whether all tests in a completion have results; start those that have none."""
        tested = [(item, tests) for item, tests in self._tests(entry, group) if tests]
        missing = [(item, tests) for item, tests in tested if self._result(entry, item, tests) is None]
        for verdict, tests in missing:
            key = entry.request, _answer_of(verdict).request
            if key not in self._pending:
                if self._runner is None:
                    self._runner = Runner(self.options.sandbox, self.options.test_seconds, generates=True)
                self._pending[key] = self._runner.execute(*_code_of(verdict), tests)
        if missing:
            self._collect()
        return all(self._result(entry, verdict, tests) is not None for verdict, tests in missing)

    def _collect(self) -> None:
        """Store the results of the tests that have run."""
        for key in [key for key, future in self._pending.items() if future.done()]:
            assert self._runner is not None
            result = self._runner.result(self._pending.pop(key))
            if self._file is not None:
                self._file.append([asdict(StoredExecution(*key, asdict(result)))])
            self._found[key] = result

    def decide(self, entry: Entry, group: Sequence[Verdict]) -> list[Verdict]:
        """Return the verdicts on the answers to a task, from the completion with its tests."""
        if entry.finish_reason == "error":
            return [replace(item, drop=Drop("generation", "error", entry.error or "")) for item in group]
        return [self._verdict(entry, item, tests) for item, tests in self._tests(entry, group)]

    def _verdict(self, entry: Entry, verdict: Verdict, tests: list[str]) -> Verdict:
        about: dict[str, Any] = {"language": verdict.language, "request": entry.request, "tests": tests}
        if not tests:
            none = Drop(STAGE, NO_TESTS, entry.without_answer or "")
            return replace(verdict, drop=none, verification={**about, "outcome": NO_TESTS})
        result = self._result(entry, verdict, tests)
        assert result is not None, "decided before the tests have run"
        del self._found[entry.request, _answer_of(verdict).request]
        outcome, detail = result.verdict(self.options.mutation_score_threshold), result.detail
        if outcome == VACUOUS:
            killed = f"they reject {result.killed} of {result.mutants} mutants"
            detail = "an answer that does nothing passes them" if result.emptied_passes else killed
        about.update(outcome=outcome, mutants=result.mutants, killed=result.killed, sandbox=result.sandbox)
        drop = None if outcome == PASSED else Drop(STAGE, outcome, detail)
        return replace(verdict, drop=drop, verification=about)

    def _tests(self, entry: Entry, group: Sequence[Verdict]) -> list[tuple[Verdict, list[str]]]:
        """Return each answer with its tests from a completion. The prompt showed the signatures of the first answer; another
        one whose only function has another name is tested by that name.
        """
        language, code = _code_of(group[0])
        record = question(group[0].record, language, code)
        written, _ = read_last(FORMAT, entry.number, record, entry)
        tests = usable_tests(written, entry.answer, entry.finish_reason, language, code, self.options.num_tests)
        names = LANGUAGES[language].names
        return [(item, with_name(tests, names(code), names(_code_of(item)[1]))) for item in group]

    def _result(self, entry: Entry, verdict: Verdict, tests: list[str]) -> Execution | None:
        """Return the result of these tests; None if there is none, or if an option or the answer was another one."""
        found = self._found.get((entry.request, _answer_of(verdict).request))
        current = found is not None and found.is_of(*_code_of(verdict), tests, self.options.test_seconds)
        return found if current else None


def _code_of(verdict: Verdict) -> tuple[str, str]:
    """Return the language and the code of an answer that waits for tests."""
    language = verdict.language or ""
    code = LANGUAGES[language].code_of(verdict.record.task, verdict.record.output)
    assert code is not None, "an answer with a language has code"
    return language, code


def _answer_of(verdict: Verdict) -> Entry:
    """Return the completion that holds an answer."""
    entry = verdict.answer or verdict.source
    assert entry is not None, "a verdict that waits has a completion"
    return entry
