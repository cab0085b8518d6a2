"""Code blocks in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.rules.fences import outside_code, pieces, prose_of
from tests.support.hostile_texts import grows_too_fast, repeated


@pytest.mark.parametrize(("text", "code"), [
    ("a\n```python\nx\n```\nb", ["```python\nx\n```\n"]),
    ("```\nx\n```\n\n```\ny\n```", ["```\nx\n```\n", "```\ny\n```"]),
    ("~~~\n```\n~~~", ["~~~\n```\n~~~"]),
    ("````\n```\nx\n```\n````", ["````\n```\nx\n```\n````"]),
    ("```js\n```js\n```", ["```js\n```js\n```"]),
    ("1. ```sh\n   ls\n   ```\nb", ["1. ```sh\n   ls\n   ```\n"]),
    ("say ```x``` inline", []),
    ("```x```", []),
    ("no code", []),
])  # fmt: skip
def test_code_blocks_are_found(text: str, code: list[str]) -> None:
    found = [piece for piece in pieces(text) if piece.is_code]
    assert [piece.text for piece in found] == code
    assert all(piece.closed for piece in found)


@pytest.mark.parametrize(("text", "empty"), [
    ("```\n```", True), ("```python\n \n\n```", True), ("```\nx\n```", False), ("```\n", False),
    ("```\nx\n```\n\n```\ny\n```", False),
])  # fmt: skip
def test_empty_blocks_are_recognised(text: str, empty: bool) -> None:
    assert any(piece.is_empty_block for piece in pieces(text)) is empty


def test_unclosed_block_extends_to_the_end() -> None:
    assert [(piece.is_code, piece.closed) for piece in pieces("a\n```\nx")] == [(False, True), (True, False)]


@given(st.text(alphabet="`~a \n\r\x0b\u2028-", max_size=60))
def test_joined_pieces_equal_the_text(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text
    assert outside_code(text, lambda prose: prose) == text
    assert len(prose_of(text)) <= len(text)


def test_only_prose_is_changed() -> None:
    assert outside_code("a\n```\na\n```\na", str.upper) == "A\n```\na\n```\nA"


@pytest.mark.parametrize("unit", [" ", "\t", "~", "`", "1", "- ", "~~~`", "```a"])
def test_the_time_of_splitting_is_linear_in_the_length_of_a_line(unit):
    assert grows_too_fast(lambda size: [*pieces(f"{repeated(unit, size)}`!")]) is None
