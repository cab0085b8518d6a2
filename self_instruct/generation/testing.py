"""Requests for tests: the model reads a task and the signatures of its answer, without the bodies, and writes asserts.

A run sends them as a step of its own, after the answer was accepted. `self-instruct verify` asks about records that exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from self_instruct.engines.base import CUT, Request, Sampling
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT
from self_instruct.generation.prompts import PromptComposer, stop_texts
from self_instruct.records import Aim, Prompt, Record
from self_instruct.rules.execution.asserts import parse_tests
from self_instruct.rules.execution.languages import LANGUAGES, code_in
from self_instruct.runs.journal import TESTS_STEP as STEP

MAX_NEW_TOKENS = 256
FORMAT = INSTRUCTION_INPUT_OUTPUT.with_triggers(instruction="Task", input="Signature", output="Tests")
HEADER = (
    "Below are programming tasks, each with the signature of its solution in Python and three to five tests of it. A test is "
    "an assert that calls the solution with small values and compares the result with what the task asks for. The tests cover "
    "an ordinary case, an edge case such as an empty input, and a case that a careless solution gets wrong."
)
"""The header of the prompt for tests."""


def examples(language: str) -> list[Record]:
    """Return the demonstrations of a language: tasks with signatures and tests."""
    texts = LANGUAGES[language].EXAMPLES
    return [Record(f"example-{number}", *given) for number, given in enumerate(texts, start=1)]


def question(record: Record, language: str, code: str) -> Record:
    """Return a record as the model sees it: the task, and the signatures of its code."""
    return Record(record.id, record.task, LANGUAGES[language].signatures(code), "")


def usable_tests(
    written: str | None, text: str, finish_reason: str, language: str, code: str, limit: int
) -> list[str]:
    """Return at most `limit` tests from what a model has `written` in the last field, or else from the whole `text` if it was
    cut off.
    """
    if written is None and finish_reason in CUT:  # only the last line is cut off
        written = text.rpartition("\n")[0]
    return parse_tests(written, LANGUAGES[language].names(code), limit) if written else []


@dataclass(frozen=True)
class Testing:
    """Composes the requests for tests, with a composer for each language."""

    composers: Mapping[str, PromptComposer]
    sampling: Sampling

    def ask(self, index: int, record: Record, seed: int) -> tuple[Prompt, Request]:
        """Return the prompt of the request for the tests of a record, and the request."""
        found = code_in(record, tuple(self.composers))
        assert found is not None, "only records with code wait for tests"
        composer = self.composers[found[0]]
        # All records have the same demonstrations, so that an engine reads them once.
        prompt = composer.compose(0, [], question(record, *found))
        prompt = replace(prompt, request=index, aim=Aim(step=STEP, answers=record.id))
        stop = stop_texts(composer.format, prompt.number)
        return prompt, Request(index, prompt.text, prompt.opening, stop, f"{seed}:{index}", self.sampling)
