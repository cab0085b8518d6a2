"""Collect all texts of an example that may contain benchmark text: turns, system prompt, thoughts, tool calls, worse answer."""

import json
from collections.abc import Iterator
from typing import Any

from self_instruct.datasets.example import ASSISTANT, Example, Turn
from self_instruct.datasets.turns import decoded

_THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "thoughts",
    "rationale",
    "chain_of_thought",
    "cot",
)
"""Names of fields that contain a thought."""
_DEEPEST = 20
_OTHER_ANSWERS = ("chosen", "completions", "responses", "generations", "answers", "outputs", "output")


def parts_of(example: Example) -> list[tuple[str, str]]:
    """Return the texts of an example to search, each labelled: `instruction`, `output`, `system`, `reasoning`, `tool_calls`,
    `rejected` or `other_answer`.
    """
    if example.messages:
        parts = [(_part(turn), turn["content"]) for turn in example.messages]
    else:
        parts = [("instruction", example.prompt), ("output", example.output)]
    parts.append(("system", example.system))
    for turn in example.messages:
        parts += _thoughts_and_calls(turn)
    for turn in example.rejected:
        parts += [("rejected", turn["content"]), *(("rejected", text) for _, text in _thoughts_and_calls(turn))]
    parts += [("reasoning", text) for name in _THOUGHTS for text in _texts(example.fields.get(name))]
    parts += [("other_answer", text) for name in _OTHER_ANSWERS for text in _texts(example.fields.get(name))]
    return [(name, text) for name, text in parts if isinstance(text, str) and text]


def _part(turn: Turn) -> str:
    return "output" if turn["role"] == ASSISTANT else "instruction"


def _thoughts_and_calls(turn: Turn) -> Iterator[tuple[str, str]]:
    """Yield the thoughts of a turn and the arguments of its tool calls."""
    for name in _THOUGHTS:
        yield from (("reasoning", text) for text in _texts(turn.get(name)))
    for call in turn.get("tool_calls") or ():
        function = call.get("function", call) if isinstance(call, dict) else {}
        if isinstance(function, dict):
            arguments = decoded(function.get("arguments"))
            yield "tool_calls", "\n".join(_texts(arguments))


def _texts(value: Any) -> list[str]:
    """Return all texts in a value, in order; deeply nested values as JSON."""
    found, left = list[str](), [(value, 0)]
    while left:
        one, depth = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict | list) and depth < _DEEPEST:
            left += [(inner, depth + 1) for inner in reversed([*(one.values() if isinstance(one, dict) else one)])]
        elif isinstance(one, dict | list):
            found.append(json.dumps(one, ensure_ascii=False))
    return found
