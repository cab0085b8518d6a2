"""Fixing faults that have one right answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.datasets.fixing import FIXED, TEXTS, fixed, is_no_input


@pytest.mark.parametrize(("text", "better", "names"), [
    ("a\r\nb\rc", "a\nb\nc", ["line_ends"]),
    ("a\x00b\x08\x7f", "ab", ["control_characters"]),
    ("a\x0cb\x0bc", "a\nb\nc", ["control_characters"]),
    ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07on", "red on", ["control_characters"]),
    ("\ufeffa", "a", ["control_characters"]),
    (" a \n", "a", ["surrounding_space"]),
    ("\n \n  def f():\n    return 1\n", "  def f():\n    return 1", ["surrounding_space"]),
    ("    a = 1\n    b = 2", "    a = 1\n    b = 2", []),
    ("  one\ntwo", "one\ntwo", ["surrounding_space"]),
    ("\tone", "one", ["surrounding_space"]),
    ("a\tb\nc", "a\tb\nc", []),
    ("é 日本 \U0001f468\u200d\U0001f469", "é 日本 \U0001f468\u200d\U0001f469", []),
    (" \r\n\x00 ", "", ["line_ends", "control_characters", "surrounding_space"]),
    ("", "", []),
])  # fmt: skip
def test_texts_are_fixed(text, better, names):
    assert fixed(text) == (better, names)


@pytest.mark.parametrize("text", [
    "<noinput>", "<no input>", "noinput", "No Input", "no_input", "N/A", "n/a.", "(n/a)", "[No input]", "no input required",
    "No input needed.", "No additional input is required.", "not applicable", "Input: none", "No inputs",
])  # fmt: skip
def test_placeholder_inputs_are_emptied(text):
    assert is_no_input(text) and fixed(text, is_input=True) == ("", ["no_input"])
    assert fixed(text)[0] == text


@pytest.mark.parametrize("text", [
    "", "None", "null", "-", "0", "The device has no input.", "no input was found in the log", "na", "Names: N/A",
    "no inputs, 3 outputs",
])  # fmt: skip
def test_real_inputs_are_kept(text):
    assert not is_no_input(text)


@given(st.text(alphabet="a \t\r\n\x00\x0b\x0c\x1b[m;\ufeff\x85\u2028n/o input<>", max_size=30), st.booleans())
def test_fixed_text_has_no_faults(text, is_input):
    better, names = fixed(text, is_input=is_input)
    assert (better, []) == fixed(better, is_input=is_input)
    assert (better == text) == (not names) and set(names) <= set(FIXED)
    assert all(fix(better) == better for _, fix in TEXTS.values())
