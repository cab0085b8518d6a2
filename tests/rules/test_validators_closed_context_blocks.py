"""Closed-context blocks: rendered blocks can be parsed back, and malformed ones are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.rules.validators.closed_context_blocks import (
    MARKERS,
    Block,
    ClosedContext,
    ClosedContextError,
    parse,
    parse_blocks,
    render,
    render_blocks,
)

WHOLE = """BEGININPUT
BEGINCONTEXT
date: 2021-01-01
url: https://web.site/123
ENDCONTEXT
In a shocking turn of events, blueberries are now green.

They stay so.
ENDINPUT
BEGININPUT
BEGINCONTEXT
ENDCONTEXT
A second text.
ENDINPUT
BEGININSTRUCTION
What colour are they? Cite the source.
ENDINSTRUCTION"""
BLOCK = "BEGININPUT\nBEGINCONTEXT\nENDCONTEXT\nx\nENDINPUT"
ASKED = "BEGININSTRUCTION\ny\nENDINSTRUCTION"


def test_the_format_of_airoboros_is_parsed_and_rendered() -> None:
    found = parse(WHOLE)
    assert found.blocks[0].metadata == (("date", "2021-01-01"), ("url", "https://web.site/123"))
    assert found.blocks[0].text.endswith("green.\n\nThey stay so.") and found.blocks[1] == Block("A second text.")
    assert found.instruction == "What colour are they? Cite the source."
    assert render(found) == WHOLE
    assert parse_blocks(render_blocks(found.blocks)) == found.blocks
    assert found.metadata[1] == ("url", "https://web.site/123") and "A second" in found.text


def _is_pair(key: str, value: str) -> bool:
    try:
        return bool(Block("", ((key, value),)))
    except ClosedContextError:
        return False


_PIECE = st.one_of(
    st.text(max_size=15), st.sampled_from([*MARKERS, *(f"\\{marker}" for marker in MARKERS), "\n", "\r\n", " ", "\\"])
)
_TEXT = st.lists(_PIECE, max_size=7).map("".join)
_PAIR = st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=8)).filter(lambda pair: _is_pair(*pair))
_BLOCK = st.builds(Block, _TEXT, st.lists(_PAIR, max_size=3).map(tuple))


@given(st.builds(ClosedContext, st.lists(_BLOCK, min_size=1, max_size=4).map(tuple), _TEXT))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_any_text_is_parsed_back_even_if_it_contains_markers(context: ClosedContext) -> None:
    assert parse(render(context)) == context
    assert parse_blocks(render_blocks(context.blocks)) == context.blocks


@given(
    st.lists(
        st.sampled_from([*(f"{marker}\n" for marker in MARKERS), "a: b\n", "text\n", "\n", "  "]), max_size=14
    ).map("".join)
)
@settings(deadline=None, derandomize=True)
def test_every_parsed_text_can_be_rendered_and_parsed_again(text: str) -> None:
    try:
        found = parse(text)
    except ClosedContextError as error:
        assert error.reason in {
            "no_block",
            "too_many_blocks",
            "unclosed",
            "bad_metadata",
            "no_instruction",
            "text_outside",
        }
        return
    assert parse(render(found)) == found


def test_blank_lines_and_spaces_around_parts_are_ignored() -> None:
    loose = (
        WHOLE.replace("ENDINPUT\n", "ENDINPUT \n\n")
        .replace("date: 2021", "\n  date :  2021")
        .replace("\nBEGINCONTEXT", "\n\nBEGINCONTEXT\t")
    )
    assert parse(f"\n{loose}\n\n") == parse(WHOLE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_block"), ("What is it?", "no_block"), (ASKED, "no_block"), (BLOCK, "no_instruction"),
        (f"Here:\n{BLOCK}\n{ASKED}", "no_block"), (f"{BLOCK}\n{ASKED}\nThe end.", "text_outside"),
        (f"{BLOCK}\nso\n{ASKED}", "text_outside"),
        (f"{BLOCK}\n{BLOCK}\n{BLOCK}\n{BLOCK}\n{BLOCK}\n{ASKED}", "too_many_blocks"), (f"{BLOCK}\nBEGININSTRUCTION\ny",
        "unclosed"),
        ("BEGININPUT\nx\nENDINPUT", "unclosed"), ("BEGININPUT\nBEGINCONTEXT\nx\nENDINPUT", "unclosed"),
        (f"BEGININPUT\nBEGINCONTEXT\nENDCONTEXT\nx\n{ASKED}", "unclosed"),
        (f"BEGININPUT\nBEGINCONTEXT\nno colon\nENDCONTEXT\nx\nENDINPUT\n{ASKED}", "bad_metadata"),
        (f"BEGININPUT\nBEGINCONTEXT\n: v\nENDCONTEXT\nx\nENDINPUT\n{ASKED}", "bad_metadata"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ClosedContextError) as caught:
        parse(text)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "pair", [("", "v"), ("a:b", "v"), (" k", "v"), ("k", "v "), ("k\n", "v"), ("k", "v\nw"), ("k", "v\u2028w")]
)
def test_metadata_that_could_not_be_parsed_back_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ClosedContextError, match="bad_metadata"):
        Block("text", (pair,))


def test_a_question_has_one_to_four_blocks() -> None:
    for blocks, reason in (((), "no_block"), ((Block("x"),) * 5, "too_many_blocks")):
        with pytest.raises(ClosedContextError, match=reason):
            ClosedContext(blocks, "y")


def test_only_blocks_are_parsed_as_blocks() -> None:
    for text, reason in (
        (f"{BLOCK}\nmore", "text_outside"),
        ("more", "no_block"),
        (f"{BLOCK}\n{ASKED}", "text_outside"),
    ):
        with pytest.raises(ClosedContextError, match=reason):
            parse_blocks(text)
