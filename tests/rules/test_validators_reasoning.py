"""Reasoned answers, stories with a question, and counterfactual contexts."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators.reasoning import cot, counterfactual, theory_of_mind

STEPS = "First we count the apples in the basket, which are twelve. Then we take away the five that were eaten.\n"
STORY = "Sally puts her ball in the basket and leaves. Anne moves the ball to the box. Where will Sally look for it?"
CONTEXT = "According to this account the Eiffel Tower stands in Rome, where Gustav Lindt built it from glass in 1720."


def reason(found: Record | str) -> str | None:
    return found.partition(":")[0] if isinstance(found, str) else None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"{STEPS}Answer: 7", None), (f"{STEPS}**Final answer:** seven", None), (f"{STEPS}Therefore, the answer is 7.", None),
        (f"{STEPS}\\boxed{{7}}", None), (f"{STEPS}The answer is 7.", None), (f"{STEPS}Answer: 7\nSo the answer is 7.", None),
        (STEPS, "no_final_answer"), (f"{STEPS}Answer:", "no_final_answer"), ("Answer: 7", "no_reasoning"),
        ("It is so.\nAnswer: 7", "no_reasoning"),
        (f"{STEPS}Answer: 7\nThe answer is 8.", "answers_disagree"), ("", "no_final_answer"),
    ],
)  # fmt: skip
def test_reasoning_comes_first_and_an_answer_last(output: str, expected: str | None) -> None:
    assert reason(cot()(Record("x", "How many are left?", "", output), {})) == expected


def test_the_minimum_of_reasoning_is_a_parameter() -> None:
    assert reason(cot(min_reasoning_words=0)(Record("x", "?", "", "Answer: 7"), {})) is None


@pytest.mark.parametrize(
    ("task", "answer", "expected"),
    [
        (STORY, "In the basket.", None), (STORY, "She will look in the basket, where she left it.", None), (STORY,
        "No, she will not.", None),
        (STORY, "On Mars.", "answer_not_in_story"), (STORY, "", "no_answer"), ("Where is it?", "In the basket.", "no_story"),
        ("Sally has a ball. Anne has a box.", "In the box.", "no_question"),
        ("Sally has a ball. She leaves. Explain where it is.", "The ball", None),
    ],
)  # fmt: skip
def test_a_story_needs_a_question_and_an_answer_from_the_story(task: str, answer: str, expected: str | None) -> None:
    assert reason(theory_of_mind()(Record("x", task, "", answer), {})) == expected


@pytest.mark.parametrize(
    ("answer", "variables", "expected"),
    [
        ("It stands in Rome.", {}, None), ("In Paris, built of iron.", {}, "unsupported"), ("", {}, "no_answer"),
        ("Rome", {"fact": "Paris", "counterfact": "Rome"}, None), ("Paris, not Rome", {"fact": "Paris"},
        "answers_from_memory"),
        ("Gustav Lindt built it.", {"counterfact": "Rome"}, "ignores_context"), ("Rome", {"fact": "Rome"}, None),
    ],
)  # fmt: skip
def test_an_answer_follows_the_context_not_world_knowledge(answer: str, variables: dict, expected: str | None) -> None:
    for record in (
        Record("x", "Where does it stand?", CONTEXT, answer),
        Record("x", f"{CONTEXT} Where does it stand?", "", answer),
    ):
        assert reason(counterfactual()(record, variables)) == expected


def test_a_task_without_a_context_is_rejected() -> None:
    assert reason(counterfactual()(Record("x", "Where is Rome?", "", "In Italy"), {})) == "no_context"
