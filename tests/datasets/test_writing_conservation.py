"""Nothing of a row is lost in silence: each leaf is in the output, or in a loss that is counted by its name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.ours import row_of
from self_instruct.datasets.schemas import recognise
from self_instruct.datasets.writing import writable

WORDS = st.text("abcdefgh", min_size=3, max_size=9)


def leaves(value):
    """Return the texts and numbers of a value."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


def turn(role, text):
    return {"role": role, "content": text}


SHAPES = {
    "alpaca": lambda w: {"instruction": w(), "input": w(), "output": w(), "history": [[w(), w()]], "system": w(), "x": [w()]},
    "preference": lambda w: {"prompt": w(), "chosen": w(), "rejected": w(), "score": {"a": w()}},
    "implicit": lambda w: {"chosen": [q := turn("user", w()), turn("assistant", w())], "rejected": [q, turn("assistant", w())]},
    "kto": lambda w: {"prompt": w(), "completion": w(), "label": False, "x": w()},
    "openai": lambda w: {"messages": [turn("user", [{"type": "text", "text": w(), "cache_control": {"k": w()}},
                                                    {"type": "image_url", "image_url": {"url": w(), "detail": w()}}]),
                                      {**turn("assistant", w()), "tool_calls": [{"id": w(), "function": {"name": w()}}]}],
                         "tools": [{"name": w()}], "x": w()},
    "anthropic": lambda w: {"system": [{"type": "text", "text": w(), "cache_control": {"k": w()}}], "messages": [
        turn("user", w()), turn("assistant", [{"type": "thinking", "thinking": w(), "signature": w()},
                                              {"type": "tool_use", "id": w(), "name": w(), "input": {"k": w()}}]),
        turn("user", [{"type": "tool_result", "tool_use_id": w(), "content": [{"type": "text", "text": w()}]}])]},
    "gemini": lambda w: {"systemInstruction": {"parts": [{"text": w()}]}, "x": w(), "contents": [
        {"role": "user", "parts": [{"text": w()}, {"inlineData": {"mimeType": w(), "data": w()}}]}]},
    "batch": lambda w: {"custom_id": w(), "response": {"body": {"id": w(), "choices": [
        {"message": turn("assistant", w()), "finish_reason": w()}, {"message": turn("assistant", w())}]}}},
    "choices": lambda w: {"question": w(), "choices": [w(), w()], "answer": 1, "subject": w()},
    "squad": lambda w: {"question": w(), "context": w(), "answers": {"text": [w(), w()], "answer_start": [4]}, "title": w()},
    "pair": lambda w: {"query": w(), "solution": w(), "system_prompt": w(), "answer": w(), "context": w()},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_leaf_of_a_row_is_in_our_record(shape, data):
    row = SHAPES[shape](lambda: data.draw(WORDS))
    example = recognise([row], {}, "", "file").read(row, "place")
    written = json.dumps(row_of(example, set()))
    lost = [
        leaf
        for leaf in leaves(row)
        if str(leaf) not in written and leaf not in ("image_url", "tool_result", "tool_use")
    ]
    assert [leaf for leaf in lost if leaf not in ("text", "thinking")] == []


@pytest.mark.parametrize("to", ["messages", "axolotl"])
@pytest.mark.parametrize("shape", ["openai", "alpaca", "pair", "gemini"])
def test_each_leaf_is_written_or_its_field_is_counted(shape, to):
    numbers = iter(range(100))
    row = SHAPES[shape](lambda: f"word{next(numbers)}end")
    example = recognise([row], {}, "", "file").read(row, "place")
    format = writable(to, set())
    written, counted = json.dumps(format.rows(example)), " ".join(format.lost(example))
    for leaf in leaves(row):
        if str(leaf).endswith("end") and leaf not in written:
            assert counted, leaf
