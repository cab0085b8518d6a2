"""Fill-in-the-blank tasks: one gap, and an answer that is not in the text already."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators.blanks import fill_in_the_blank

FRANCE = "The capital of France is ____."


@pytest.mark.parametrize(
    ("task", "answer", "reason"),
    [
        (FRANCE, "Paris", None), (FRANCE, "The capital of France is Paris.", None), (FRANCE, "Answer: Paris", None),
        ("Water boils at [blank] degrees.", "100", None), ("Say ..... to it.", "no", None), ("A (gap) here, and so on.",
        "word", None),
        (r"It is \_\_\_ now.", "noon", None), ("Two words: ____ ____ is it.", "San Marino", None),
        ("The capital of France is Paris.", "Paris", "no_blank"), ("my_var and __init__", "x", "many_blanks: 2"),
        ("____ is the capital of ____.", "Paris", "many_blanks: 2"), (FRANCE, "", "no_answer"), (FRANCE, "____", "no_answer"),
        ("Paris is in France. Its capital is ____.", "Paris", "answer_in_text: paris"),
        ("Paris is in France. Its capital is ____.", "Its capital is Paris.", "answer_in_text: paris"),
        ("Cats purr. The ____ is black.", "Cat", None), ("The dog is ____ the table.", "the", None),
        (FRANCE, "word " * 13, "answer_too_long: 13 words"),
    ],
)  # fmt: skip
def test_the_task_needs_one_gap_and_a_new_answer(task: str, answer: str, reason: str | None) -> None:
    found = fill_in_the_blank()(Record("x", task, "", answer), {})
    assert (found if isinstance(found, str) else None) == reason


def test_a_word_bank_may_contain_the_answer() -> None:
    record = Record("x", "Choose from red, blue: The sky is ____.", "", "blue")
    assert fill_in_the_blank()(record, {}) == "answer_in_text: blue"
    assert fill_in_the_blank(word_bank=True)(record, {}) is record
    assert (
        fill_in_the_blank(max_answer_words=1)(Record("x", FRANCE, "", "old Paris"), {}) == "answer_too_long: 2 words"
    )
