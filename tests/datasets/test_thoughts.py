"""Thoughts in tags: the text after them, and broken ones."""

import pytest

from self_instruct.datasets.thoughts import after_thought, broken_thought, has_thought

PAIRS = [
    ("<think>", "</think>"), ("<Thinking>", "</Thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("◁think▷", "◁/think▷"), ("<reasoning>", "</reasoning>"),
]  # fmt: skip


@pytest.mark.parametrize(("opens", "closes"), PAIRS)
def test_broken_thoughts_are_recognised_in_the_tags_of_any_model(opens: str, closes: str) -> None:
    whole = f"{opens}8 + 8{closes}Sixteen."
    assert has_thought(whole) and broken_thought(whole) is None and after_thought(whole) == "Sixteen."
    assert broken_thought(f"8 + 8{closes}Sixteen.") == "not opened" and after_thought(f"8{closes}16") == "16"
    assert broken_thought(f"{opens}8 + 8") == "not closed" and after_thought(f" {opens}8 + 8") is None
    assert broken_thought(f"{whole}{opens}again") == "not closed"
    assert broken_thought(f"{opens}8{closes} \u200b") == "no answer"


def test_tags_in_code_are_not_thoughts() -> None:
    for text in ("Write `<think>` first.", "```\n<think>\n```\nSo.", "I think <b>so</b>."):
        assert not has_thought(text)
