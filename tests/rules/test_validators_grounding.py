"""Answers from a context: support, sources, questions without an answer, and useless contexts."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators import build_validators
from self_instruct.rules.validators.closed_context_blocks import Block, ClosedContext, render, render_blocks
from self_instruct.rules.validators.grounding import closed_context, needless_context, support
from tests.support.grounded_answers import REPORT, STUDY, SUPPORTED, TICKET, UNSUPPORTED, question


def judged(block: Block, asked: str, output: str, **variables: str) -> Record | str:
    return closed_context()(Record("x", render(question(block, asked)), "", output), variables)


def reason(found: Record | str) -> str | None:
    return found.partition(":")[0] if isinstance(found, str) else None


def test_the_threshold_separates_the_examples_by_a_margin() -> None:
    supported = [support(output, question(block, asked)) for block, asked, output in SUPPORTED]
    unsupported = [support(output, question(block, asked)) for block, asked, output in UNSUPPORTED]
    assert min(supported) >= 0.65 and max(unsupported) <= 0.25


@pytest.mark.parametrize(("block", "asked", "output"), SUPPORTED)
def test_a_supported_answer_passes_unchanged(block: Block, asked: str, output: str) -> None:
    assert reason(judged(block, asked, output)) is None


@pytest.mark.parametrize(("block", "asked", "output"), UNSUPPORTED)
def test_an_unsupported_answer_is_dropped(block: Block, asked: str, output: str) -> None:
    assert reason(judged(block, asked, output)) == "unsupported"


def test_the_threshold_is_a_parameter() -> None:
    record = Record("x", render(question(*UNSUPPORTED[0][:2])), "", UNSUPPORTED[0][2])
    (lenient,) = build_validators([("closed_context", {"min_support": 0})])
    assert lenient(record, {}) is record


def test_the_input_may_contain_the_blocks() -> None:
    record = Record("x", "Who was the first captain?", render_blocks([REPORT]), "Ines Duarte")
    assert closed_context()(record, {}) is record
    broken = Record("x", "Who?", "BEGININPUT\nonly this", "Ines Duarte")
    assert reason(closed_context()(broken, {})) == "grammar"
    assert reason(closed_context()(Record("x", "Who?", "", "me"), {})) == "grammar"
    assert reason(judged(REPORT, "Who?", " \n")) == "no_answer"


NO_ANSWER = [
    "The text does not say who built the ship.", "This information is not provided in the context.",
    "I cannot answer this from the text.",
    "There is no mention of a second captain.", "The passage doesn't mention any passengers.",
    "It is impossible to determine the price.",
    "The given text lacks that.", "Not stated.", "The builder isn't specified.", "We are not told.", "The answer is unknown.",
]  # fmt: skip


@pytest.mark.parametrize("output", NO_ANSWER)
def test_an_answer_to_an_unanswerable_question_must_say_so(output: str) -> None:
    assert reason(judged(REPORT, "Who built it?", output, unanswerable="yes")) is None
    # The answer also passes if the question was meant to have an answer, because it invents nothing.
    assert reason(judged(REPORT, "Who built it?", output)) is None


@pytest.mark.parametrize(
    "output", ["Ines Duarte.", "The Marlow was built in Bristol.", "It carried coal to the island of Teyra."]
)
def test_an_answer_to_an_unanswerable_question_is_dropped(output: str) -> None:
    assert reason(judged(REPORT, "Who built it?", output, unanswerable="true")) == "answered_anyway"
    assert reason(judged(REPORT, "Who built it?", output, unanswerable="false")) is None


CITED = "Her first captain was Ines Duarte.\n\nReference(s):\n"


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ("url: https://teyra.example/ferry", None), ("- R. Okafor, A history of the Teyra line", None),
        ("1. https://teyra.example/ferry", None),
        ("date: 2019-03-02\nauthor: R. Okafor", None), ("[1] A history of the Teyra line (2019-03-02)", None),
        ("url: https://teyra.example/other", "citation"), ("- J. Smith, Ferries of the North", "citation"),
        ("author: J. Smith", "citation"),
        ("https://elsewhere.example", "citation"), ("date: 2019-03-02\nhttps://elsewhere.example/a", "citation"), ("None",
        "no_citation"),
    ],
)  # fmt: skip
def test_only_sources_that_are_in_the_metadata_may_be_cited(references: str, expected: str | None) -> None:
    assert (
        reason(judged(REPORT, "Who was the first captain? Give the source.", CITED + references, source="yes"))
        == expected
    )


def test_a_requested_source_must_be_cited_if_there_is_one() -> None:
    asked, output = "Which version has the bug?", "Version 4.2; 4.1 works."
    assert reason(judged(TICKET, asked, output, source="1")) == "no_citation"
    assert reason(judged(TICKET, asked, output, source="0")) is None
    assert reason(judged(TICKET, asked, f"{output} (ticket EXP-2231)", source="1")) is None
    assert reason(judged(Block(TICKET.text), asked, output, source="1")) is None


def test_an_answer_may_draw_on_several_blocks() -> None:
    both = ClosedContext((REPORT, STUDY), "Compare the numbers.")
    output = "The boiler took eleven months to replace, the newts' diet nine weeks."
    assert support(output, both) > 0.6 > support(output, question(REPORT, "Compare."))


# ---- useless contexts

CONTEXT = (
    "The heron stood in the reeds until noon and then flew towards the mill, where the miller's children were fishing."
)


def test_a_context_that_is_shorter_than_the_answer_or_repeated_in_it_is_removed() -> None:
    validator = needless_context()
    for output in ("x" * (len(CONTEXT) + 1), CONTEXT.replace("until noon and then", "till noon, then")):
        found = validator(Record("x", "Write a short scene about a heron.", CONTEXT, output), {})
        assert found == Record("x", "Write a short scene about a heron.", "", output)
    helped = Record("x", "Write a short scene about a heron.", CONTEXT, "The heron flew to the mill.")
    assert validator(helped, {}) is helped
    assert validator(Record("x", "Write about a heron.", "", "A long answer that has no context."), {}).input == ""


def test_an_instruction_that_refers_to_the_context_needs_it() -> None:
    record = Record("x", "Continue the text above.", CONTEXT, CONTEXT)
    assert reason(needless_context()(record, {})) == "context_does_not_help"


def test_the_instruction_remains_when_a_closed_context_is_removed() -> None:
    long = "Marlow. " * 100
    assert judged(REPORT, "Describe a ferry.", long) == Record("x", "Describe a ferry.", "", long)
    assert reason(judged(REPORT, "Who is named in the passage?", long)) == "context_does_not_help"


def test_the_overlap_is_a_parameter() -> None:
    record = Record("x", "Tell of a heron.", CONTEXT, "The heron stood in the reeds, then flew towards the mill.")
    assert needless_context(0.3)(record, {}).input == "" and needless_context(0.9)(record, {}) is record
