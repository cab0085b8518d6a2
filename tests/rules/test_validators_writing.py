"""Writing and editing tasks: the requested length and form, and an edited text that differs from the original."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators.editing import editor
from self_instruct.rules.validators.writing import writing

LONG = "word " * 100


def reason(found: Record | str) -> str | None:
    return found if isinstance(found, str) else None


@pytest.mark.parametrize(
    ("task", "output", "expected"),
    [
        ("Write a story.", LONG, None), ("Write a story.", "word " * 20, None), ("Write a story.", "word " * 19,
        "no_text: 19 words"),
        ("Write a story.", "", "no_text: 0 words"), ("Write a story in 100 words.", LONG, None),
        ("Write a 100-word story.", "w " * 76, None),
        ("Write a 100-word story.", "w " * 74, "wrong_word_count: 74 of 75 to 125"), ("Use exactly 100 words.", "w " * 95,
        None),
        ("Use exactly 100 words.", "w " * 80, "wrong_word_count: 80 of 90 to 110"), ("Use at least 100 words.",
        "w " * 300, None),
        ("Use at least 100 words.", "w " * 80, "wrong_word_count: 80 of at least 90"), ("No more than 100 words.",
        "w " * 30, None),
        ("No more than 100 words.", "w " * 120, "wrong_word_count: 120 of 0 to 110"), ("Write 100 to 200 words.",
        "w " * 150, None),
        ("Write 100-200 words.", "w " * 250, "wrong_word_count: 250 of 90 to 220"), ("Write a haiku.", "a\nb\nc", None),
        ("Write a haiku.", "a b c", "wrong_lines: 1 of 3 to 4"), ("Write a funny limerick.", "a\nb\nc\nd\ne", None),
        ("Write three paragraphs.", "a\n\nb\n\nc", None), ("Write three paragraphs.", "a\n\nb", "wrong_paragraphs: 2 of 3"),
        ("Write four lines.", "a\nb\n\nc\nd", None),
        ("What is a haiku?", LONG, None),
    ],
)  # fmt: skip
def test_the_requested_length_and_form_are_checked(task: str, output: str, expected: str | None) -> None:
    assert reason(writing()(Record("x", task, "", output), {})) == expected


def test_a_number_of_lines_of_another_text_is_not_a_constraint() -> None:
    assert reason(writing()(Record("x", "Retell these 12 lines from the book.", "", LONG), {})) is None


TEXT = "The quick brown fox jumps over the dog."


@pytest.mark.parametrize(
    ("task", "input", "output", "expected"),
    [
        ("Make it shorter.", TEXT, "The fox jumps.", None), (f"Make it shorter: {TEXT}", "", "The fox jumps.", None),
        (f"Make it shorter.\n{TEXT}", "", "The fox jumps.", None), (f'Shorten "{TEXT}" please', "", "The fox jumps.", None),
        (f"Shorten '{TEXT}' now", "", "The fox jumps.", None), ("Make it shorter.", "", "The fox jumps.", "nothing_to_edit"),
        ("Make it shorter: now.", "", "The fox jumps.", "nothing_to_edit"), ("Make it shorter.", TEXT, "", "no_answer"),
        ("Make it shorter.", TEXT, TEXT, "unchanged"), (f"Make it shorter: {TEXT}", "", f"  {TEXT}\n", "unchanged"),
        (f'Shorten "{TEXT}" please', "", f'"{TEXT}"', "unchanged"), ("Fix the case.", TEXT, TEXT.upper(), None),
    ],
)  # fmt: skip
def test_the_task_needs_a_text_and_the_answer_must_differ_from_it(
    task: str, input: str, output: str, expected: str | None
) -> None:
    assert reason(editor()(Record("x", task, input, output), {})) == expected
