"""Records, their ids and their JSON lines."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.records import Record, json_line, record_id


def test_the_task_is_the_instruction_and_the_input_on_its_own_line() -> None:
    assert Record("x", "Add.", "1 2", "3").task == "Add.\n1 2"
    assert Record("x", "Add.", "", "3").task == "Add."


def test_a_record_that_was_not_generated_has_depth_zero() -> None:
    assert Record("x", "a", "", "b").depth == 0


@given(st.tuples(st.integers(0, 999_999), st.integers(0, 99)), st.tuples(st.integers(0, 999_999), st.integers(0, 99)))
@settings(deadline=None, derandomize=True)
def test_ids_sort_as_requests_and_positions_do(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (record_id(*one) < record_id(*other)) == (one < other)


def test_an_id_shows_request_and_position() -> None:
    assert record_id(17, 3) == "000017-03"


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters()), max_size=4))
@settings(deadline=None, derandomize=True)
def test_a_json_line_holds_the_row_in_one_line_of_utf_8(row: dict[str, str]) -> None:
    line = json_line(row)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line.decode("utf-8")) == row


@pytest.mark.parametrize(
    ("text", "shown"),
    [("é ß 好 😀", "é ß 好 😀".encode()), ("a\nb", b"a\\nb"), ("\ud800", b"\\ud800"), ("é\udfff", b"\\u00e9\\udfff")],
)
def test_text_is_not_escaped_unless_utf_8_cannot_encode_it(text: str, shown: bytes) -> None:
    assert json_line({"a": text}) == b'{"a": "' + shown + b'"}\n'
