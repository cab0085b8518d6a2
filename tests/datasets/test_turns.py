"""Notations of turns: parts, thoughts, calls and results of tools, and conversations without roles."""

import pytest

from self_instruct.datasets.chats import conversation, exchange
from self_instruct.datasets.turns import from_and_value, turns_of

ASKED = {"role": "user", "content": "Weather in Oslo?"}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}


@pytest.mark.parametrize(
    ("turn", "found"),
    [
        ({"role": "assistant", "content": [{"type": "reasoning", "value": "Short."}, {"type": "text", "value": "Ebro"}]},
         [{"role": "assistant", "content": "Ebro", "reasoning_content": "Short."}]),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}]},
         [{"role": "assistant", "content": "", "tool_calls": [{"id": "t", **CALL}]}]),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "3"}]}]},
         [{"role": "tool", "content": "3", "tool_call_id": "t"}]),
        ({"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
         [{"role": "assistant", "content": "", "from": "function_call", "tool_calls": [CALL]}]),
        ({"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
         [{"role": "assistant", "content": "", "from": "model", "tool_calls": [CALL]}]),
        ({"role": "user", "content": [{"type": "image", "text": ""}]},
         [{"role": "user", "content": "", "parts": [{"type": "image", "text": ""}]}]),
        ({"type": "function_call_output", "call_id": "c", "output": "3"},
         [{"role": "tool", "content": "3", "tool_call_id": "c"}]),
        ({"Role": "User", "Content": "Hi"}, [{"role": "user", "content": "Hi"}]),
    ],
)  # fmt: skip
def test_notations_of_a_turn_are_read_the_same(turn, found):
    assert list(turns_of([turn], "place")) == found


def test_call_of_a_function_is_written_for_sharegpt_as_it_was_read():
    turn = {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'}
    assert from_and_value(turns_of([turn], "place")[0]) == turn


@pytest.mark.parametrize("turns", [
    ["Hi", "Hello"], [["Hi", "Hello"]], [{"human": "Hi", "assistant": "Hello"}], '[{"role": "user", "content": "Hi"}, '
    '{"role": "assistant", "content": "Hello"}]', "[{'role': 'user', 'content': 'Hi'}, {'role': 'bot', 'content': 'Hello'}]",
])  # fmt: skip
def test_conversations_without_roles_or_as_text_are_read(turns):
    one = conversation({"conversations": turns}, "place")
    assert (one.instruction, one.output) == ("Hi", "Hello")


@pytest.mark.parametrize("row", [
    {"body": {"messages": [ASKED], "model": "m"}, "custom_id": "1", "response": {"status_code": 200, "body": {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Cold."}, "finish_reason": "stop"}]}}},
    {"instructions": "Be short.", "input": "Weather in Oslo?", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Cold."}]}]},
    {"systemInstruction": {"parts": [{"text": "Be short."}]}, "contents": [
        {"role": "user", "parts": [{"text": "Weather in Oslo?"}]}, {"role": "model", "parts": [{"text": "Cold."}]}]},
])  # fmt: skip
def test_requests_and_answers_of_model_apis_are_read(row):
    one = exchange(row, "place")
    assert (one.instruction, one.output) == ("Weather in Oslo?", "Cold.")
    assert one.system == ("" if "body" in row else "Be short.")
