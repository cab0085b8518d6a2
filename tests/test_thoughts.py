"""Splitting a model's turn into thoughts and answer."""

import pytest

from self_instruct.config.thought_tags import thought_tags
from self_instruct.thoughts import LOST, ONLY_REASONING, UNCLOSED, ThoughtTags, Turn
from tests.support.hostile_texts import grows_too_fast, repeated

TAGS = thought_tags()
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(("opening", "closings"), TAGS.pairs)
def test_each_kind_of_mark_is_cut_off_with_the_thought_between(opening, closings):
    for closing in closings:
        text = f"{opening}Perhaps a list.\n1. Instruction:\nDraft\n{closing}\n\nSort a list."
        turn = TAGS.split(text)
        assert (turn.answer.strip(), turn.unclosed) == ("Sort a list.", False)
        assert "Draft" in turn.thought and text[turn.begins :].strip() == "Sort a list."
        assert TAGS.split(f"A plan first.{closing}\nSort a list.").answer == "Sort a list."
        assert TAGS.split(f"{opening.upper()}x{closing.lower()}y").answer == "y"
    unclosed = TAGS.split(f"1. Sort.\n{opening}\nWhat else")
    assert unclosed == Turn("1. Sort.\n", "What else", True, 0)


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("Sort a list.", "Sort a list.", ""),
        ("Output:\n<think>hm</think>\nf()\n<think>ah</think>", "Output:\n\nf()\n", "hm\n\nah"),
        ("<think>a <think> b</think>c", "c", "a <think> b"),
        ("<think>a</think>b</think>c", "c", "a\n\nb"),
        ("<think>a</think><answer>b</answer>", "b", "a"),
        ("<answer>b</answer>", "<answer>b</answer>", ""),
        (HARMONY.format("a<|end|><|start|>assistant<|channel|>analysis<|message|>b") + "c", "c", None),
        ("call it `x`</think>Yes", "Yes", "call it `x`"),
        ("<think></think>\n\nSort.", "Sort.", ""),
    ],
)
def test_thoughts_anywhere_are_cut_off(text, answer, thought):
    turn = TAGS.split(text)
    assert turn.answer == answer and thought in (None, turn.thought) and not turn.unclosed


@pytest.mark.parametrize(
    "text",
    ["The <think> mark opens it.", 're.sub(r"<think>.*?</think>", "", s)', "the `</think>` mark", "('<think>', '</think>')",
     "Write <thinking in your words>."],
)  # fmt: skip
def test_marks_that_a_text_only_mentions_are_text(text):
    assert TAGS.split(text) == Turn(text)


def test_a_turn_without_an_answer_says_why():
    assert TAGS.split("<think>a</think>\n").without_answer() == ONLY_REASONING
    assert TAGS.split("<think>a").without_answer() == UNCLOSED
    assert TAGS.read("", "a plan").without_answer() == ONLY_REASONING == TAGS.split("").without_answer(12)
    assert {TAGS.split(text).without_answer() for text in ("", " ", "x", "<think>a</think>x")} == {None}
    assert TAGS.read("<think>b</think>c", "a") == Turn("c", "a\n\nb", False, 16)
    assert set(LOST) == {UNCLOSED, ONLY_REASONING}


def test_hostile_texts_take_linear_time():
    for piece in (
        "<think>",
        "a <think>",
        "</think>",
        "<think>x</think>",
        "<think>\n</thin",
        "`<think>",
        "<|channel|>analysis",
    ):
        turn = TAGS.split(piece * 2_000)
        assert len(turn.answer) + len(turn.thought) <= 2_000 * (len(piece) + 2)
        assert grows_too_fast(lambda size, piece=piece: TAGS.split(repeated(piece, 4 * size))) is None, piece


def test_special_tokens_are_kept_only_where_they_mark_a_thought():
    phi = {1: "<|end|>", 2: "<|assistant|>"}
    oss = {1: "<|end|>", 2: "<|start|>", 3: "<|channel|>", 4: "<|message|>", 5: "<|return|>"}
    assert TAGS.parts_of_marks(phi) == {} and set(TAGS.parts_of_marks(oss)) == {1, 2, 3, 4}
    assert set(TAGS.parts_of_marks({7: "[THINK]", 8: "[/THINK]", 9: "[INST]"})) == {7, 8}


def test_a_new_mark_needs_no_code():
    tags = ThoughtTags.of({"tags": [{"open": "{{", "close": ["}}"]}], "answers": [], "fields": [], "switches": {}})
    assert tags.split("{{a}}b<think>c") == Turn("b<think>c", "a", False, 5)
