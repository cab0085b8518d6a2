"""Cleaning the text of a turn."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.datasets.turn_cleaning import cleaned, is_rate_limit
from tests.support.hostile_texts import grows_too_fast, repeated


@pytest.mark.parametrize(("raw", "clean"), [
    ("```python\nCopy code\nimport x\n```", "```python\nimport x\n```"),
    ("```python Copy code\nimport x\n```", "```python\nimport x\n```"),
    ("```pythonCopy codeimport x\nx()```\nok", "```python\nimport x\nx()\n```\nok"),
    ("```\npythonCopy code\nimport x\n```", "```python\nimport x\n```"),
    ("```c++Copy code\nint x;\n```", "```c++\nint x;\n```"),
    ("```Copy code\nls\n```", "```\nls\n```"),
    ("a\n```sqlCopy codeselect 1```\nb", "a\n```sql\nselect 1\n```\nb"),
    ("a\n```js\nCopy code\n```\nb", "a\nb"),
    ("```\nCopy code```\nx", "x"),
    ("```\nx\n```\nThe Copy code button is there.", "```\nx\n```\nThe Copy code button is there."),
    ("Press Copy code.", "Press Copy code."),
    ("2 / 3\n\nHello", "Hello"),
    ("1 / 1Hello", "Hello"),
    ("1 / 2 cup of sugar", "1 / 2 cup of sugar"),
    ("1 / 2, that is a half", "1 / 2, that is a half"),
    ("3 / 2\nHello", "3 / 2\nHello"),
    ("0 / 2\nHello", "0 / 2\nHello"),
    ("HelloCopy123 chars / 45 words", "Hello"),
    ("```\nCopy123 chars / 45 words\n```", "```\nCopy123 chars / 45 words\n```"),
    ("a\n\n\n\nb\n \n\t\nc\n\nd", "a\n\nb\n\nc\n\nd"),
    ("```\na\n\n\n\nb\n```", "```\na\n\n\n\nb\n```"),
    ("a\r\nb\rc", "a\nb\nc"),
    ("  a  \n", "a"),
    ("if a<b and c>d: <b>x</b>", "if a<b and c>d: <b>x</b>"),
])  # fmt: skip
def test_buttons_counters_and_blank_lines_are_removed(raw: str, clean: str) -> None:
    assert cleaned(raw, html=False, answer=True) == clean


def test_counter_in_a_question_is_kept_as_fraction() -> None:
    assert cleaned("1 / 2\nas a decimal?", html=False, answer=False) == "1 / 2\nas a decimal?"


def test_html_is_converted_before_the_rest_is_cleaned() -> None:
    assert cleaned("<div>1 / 2<p>Hello</p></div>", html=True, answer=True) == "Hello"


@pytest.mark.parametrize(("text", "limit"), [
    ("Too many requests in 1 hour. Try again later.", True), ("!Too many requests in 1 hour. Try again later.", True),
    (" Too many requests in 1 hour. Try again later.!", True), ("Too many requests.", False),
    ('Say "Too many requests in 1 hour. Try again later."', False),
])  # fmt: skip
def test_rate_limit_messages_are_recognised(text: str, limit: bool) -> None:
    assert is_rate_limit(text) is limit


@given(st.text(max_size=80).filter(lambda text: "Copy" not in text and "/" not in text))
def test_other_text_loses_only_white_space(text: str) -> None:
    assert cleaned(text, html=False, answer=True).split() == text.split()


def without_caption(text: str) -> bool:
    """Return whether no button follows an x. Such an x would be the language of a block, and go with a block without code."""
    return re.search(r"x\w*Copy", "".join(text.split())) is None


@given(
    st.lists(st.sampled_from(["```", "py", "Copy code", "\n", " ", "x", "`"]), max_size=12)
    .map("".join)
    .filter(without_caption)
)
def test_code_survives_any_mix_of_fences_and_buttons(text: str) -> None:
    assert cleaned(text, html=False, answer=True).count("x") == text.count("x")


@pytest.mark.parametrize("template", ["```@Copy code", "Copy code\n```\n@!", "Copy code ```@", "@"])
def test_the_time_of_cleaning_is_linear_in_the_length_of_a_text(template):
    for unit in (" ", "\n", "a", "a ", "`", "~", "- ", "```", "```\n", "Copy code", "```Copy code", "1 / 2"):

        def work(size, unit=unit):
            cleaned(template.replace("@", repeated(unit, size)), html=False, answer=True)

        assert grows_too_fast(work) is None, unit
