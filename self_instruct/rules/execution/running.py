"""Run an answer with its tests in the sandbox, and find out whether the tests are worth anything.

Tests that accept a right answer may accept anything. Therefore they must also reject an answer that does nothing, and most of
the answer's mutants; otherwise they count as vacuous.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from self_instruct.errors import UserError
from self_instruct.rules.execution.languages import LANGUAGES
from self_instruct.rules.sandbox import FINISHED, TIMEOUT, Limits, Sandbox, SandboxError, open_sandbox

Found = TypeVar("Found")
MUTANTS = 10
PASSED, FAILED, VACUOUS, NO_TESTS, BROKEN = "passed", "failed", "vacuous", "no_tests", "broken_code"
OUTCOMES = {
    PASSED: "the answer passes its tests, and they reject its mutants",
    FAILED: "the answer fails its tests",
    TIMEOUT: "the answer or a test takes too long",
    VACUOUS: "the tests also accept an answer that does nothing, or too many mutants",
    NO_TESTS: "the model wrote no usable test",
    BROKEN: "the task asks for code in the language, but the answer has none that can be tested",
}
_DETAIL = 200  # characters
_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")

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

    If the answer passes, `emptied_passes` says whether an answer that does nothing passes too, and the tests reject `killed` of
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
    language: str = "python"

    def verdict(self, threshold: float) -> str:
        """Return the outcome, or vacuous if the tests also accept an answer that does nothing, or too many mutants."""
        few = self.emptied_passes or self.killed < threshold * self.mutants
        return VACUOUS if self.outcome == PASSED and few else self.outcome

    def is_of(self, language: str, code: str, tests: Sequence[str], test_seconds: float) -> bool:
        """Return whether this is the result of the given tests, code and limit."""
        found = (self.language, self.code_sha256, self.tests, self.test_seconds)
        return found == (language, _sha256(code), list(tests), test_seconds)


def restored(stored: object) -> Execution | None:
    """Return the result that was stored as a mapping of its fields; None if another version wrote other fields."""
    try:
        return Execution(**stored) if isinstance(stored, dict) else None
    except TypeError:
        return None


def execute(language: str, code: str, tests: Sequence[str], sandbox: Sandbox) -> Execution:
    """Run the tests against the code and, if it passes, against its mutants."""
    passes, name, detail, seconds = _run(language, code, tests, sandbox)
    found = Execution(
        PASSED if passes else TIMEOUT if name == TIMEOUT else FAILED, "" if passes else detail, list(tests), _sha256(code),
        sandbox.limits.seconds, sandbox.mode, round(seconds, 3), language=language,
    )  # fmt: skip
    if not passes:
        return found
    if any(_run(language, one, tests, sandbox)[0] for one in LANGUAGES[language].trivial(code)):
        return replace(found, emptied_passes=True)
    variants = LANGUAGES[language].mutants(code, MUTANTS)
    killed = sum(not _run(language, one, tests, sandbox)[0] for one in variants)
    return replace(found, mutants=len(variants), killed=killed)


def passed(language: str, code: str, tests: Sequence[str], sandbox: Sandbox) -> int:
    """Return how many of the tests the code passes, each in a run of its own."""
    return sum(_run(language, code, [test], sandbox)[0] for test in tests)


def _run(language: str, code: str, tests: Sequence[str], sandbox: Sandbox) -> tuple[bool, str, str, float]:
    """Run tests against code; return whether it passes them all, how the program ended, the last line printed, and seconds."""
    proof, module = secrets.token_hex(), LANGUAGES[language].module(code)
    result = sandbox.run(_DRIVER.format(code=module, tests=json.dumps(tests), proof=proof.encode()))
    lines = [line for line in result.output.splitlines() if line.strip()] or [result.name]
    passes = result.name == FINISHED and result.output.endswith(proof)
    # An address differs in each run.
    return passes, result.name, _ADDRESS.sub("0x...", lines[-1])[:_DETAIL], result.seconds


class Runner:
    """Runs answers with their tests in sandboxes, as many at a time as this process may use cores, or half as many if a model
    `generates` meanwhile, perhaps on these cores. `wanted` is --sandbox.

    Raises UserError if programs cannot be isolated here.
    """

    def __init__(self, wanted: str, seconds: float, generates: bool = False) -> None:
        self._wanted, self._sandbox = wanted, open_sandbox(wanted, Limits(seconds=seconds))
        cores = len(os.sched_getaffinity(0))  # a job of Slurm may use some of the machine's
        self._threads = ThreadPoolExecutor(max(1, cores // 2) if generates else cores)

    def execute(self, language: str, code: str, tests: Sequence[str]) -> "Future[Execution]":
        """Start `execute`."""
        return self._threads.submit(execute, language, code, tests, self._sandbox)

    def passed(self, language: str, code: str, tests: Sequence[str]) -> "Future[int]":
        """Start `passed`."""
        return self._threads.submit(passed, language, code, tests, self._sandbox)

    def result(self, future: "Future[Found]") -> Found:
        """Wait for a result. Raises UserError if the isolation failed."""
        try:
            return future.result()
        except SandboxError as error:
            raise UserError(
                f"--sandbox {self._wanted}: {self._sandbox.mode} failed ({error}); try another mode"
            ) from None

    def close(self) -> None:
        """End all programs and start no more."""
        self._sandbox.stop()
        self._threads.shutdown(cancel_futures=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
