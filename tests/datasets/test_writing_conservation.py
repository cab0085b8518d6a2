"""No value of a row is lost silently: it is in the output, or its field is counted as lost."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.ours import row_of
from self_instruct.datasets.schemas import SCHEMAS, recognise
from self_instruct.datasets.training import Unfit
from self_instruct.datasets.writing import SUFFIXES, writable

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
    "jsonl": lambda w: {"instruction": w(), "input": w(), "output": w(), "provenance": {"id": w(), "model": w(), "x": [w()]}},
    "self-instruct-seeds": lambda w: {"id": w(), "name": w(), "instruction": w(), "instances": [
        {"input": w(), "output": w()}, {"input": w(), "output": w()}], "is_classification": False},
    "magpie": lambda w: {"uuid": w(), "instruction": w(), "response": w(), "task_category": w(), "intent": w(), "x": [w()]},
    "sharegpt": lambda w: {"id": w(), "x": w(), "conversations": [
        {"from": "system", "value": w()}, {"from": "human", "value": w(), "lang": w()}, {"from": "gpt", "value": w()}]},
    "comparison": lambda w: {"user_input": w(), "completion_a": w(), "completion_b": w(), "x": w()},
    "distilabel": lambda w: {"instruction": w(), "generation": w(), "system_prompt": w(), "model_name": w(), "x": {"a": [w()]}},
    "dolly": lambda w: {"instruction": w(), "context": w(), "response": w(), "category": w()},
    "airoboros": lambda w: {"instruction": w(), "response": w(), "skip": w(), "category": w()},
    "instruction-wild": lambda w: {"instruction": w(), "input": w(), "output": w(), "instruction_type": w(), "x": w()},
    "marked-text": lambda w: {"text": f"<|im_start|>system\n{w()}<|im_end|>\n<|im_start|>user\n{w()}<|im_end|>\n"
                                      f"<|im_start|>assistant\n{w()}<|im_end|>", "x": w()},
    "gpt4all": lambda w: {"prompt": w(), "response": w(), "source": w(), "x": w()},
    "prompt-completion": lambda w: {"prompt": w(), "completion": w(), "system": w(), "x": w()},
    "question-answer": lambda w: {"question": w(), "answer": w(), "x": w()},
    "vicuna": lambda w: {"text": f"A chat. USER: {w()} ASSISTANT: {w()}</s>", "x": w()},
    "text": lambda w: {"text": w(), "x": w()},
}  # fmt: skip
FORMATS = {"implicit": "preference", "openai": "messages", "anthropic": "messages", "gemini": "exchange", "batch": "exchange",
           "choices": "multiple-choice"}  # fmt: skip
"""The format of each shape that does not have the name of its format."""


def read(shape, word):
    """Return a row of a shape, and the example that its format reads."""
    row = SHAPES[shape](word)
    schema = recognise([row], {}, "", "file")
    assert schema.name == FORMATS.get(shape, shape)
    return row, schema.read(row, "place")


def test_every_format_that_is_read_has_a_row():
    assert {FORMATS.get(shape, shape) for shape in SHAPES} == set(SCHEMAS)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_leaf_of_a_row_is_in_our_record(shape, data):
    words = list[str]()

    def word():
        words.append(f"{data.draw(WORDS)}{len(words)}end")
        return words[-1]

    row, example = read(shape, word)
    written = json.dumps(row_of(example, set()))
    numbers = [str(leaf) for leaf in leaves(row) if not isinstance(leaf, str)]
    assert [leaf for leaf in [*words, *numbers] if leaf not in written] == []


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize("shape", SHAPES)
def test_each_leaf_is_written_or_counted_or_the_row_is_refused(shape, to):
    numbers = iter(range(100))
    row, example = read(shape, lambda: f"word{next(numbers)}end")
    format = writable(to, example.columns)
    counted = list(format.lost(example))
    try:
        written = json.dumps(format.rows(example))
    except Unfit as refused:
        assert refused.reason and refused.problem
        return
    missing = [
        text for leaf in leaves(row) for text in re.findall(r"word\d+end", str(leaf)) if f"{text}" not in written
    ]
    assert not missing or counted, missing
    assert len(counted) == len({*counted})
