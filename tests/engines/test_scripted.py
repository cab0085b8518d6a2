"""The scripted engine."""

import pytest

from self_instruct.engines.base import Request
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError


def engine_of(tmp_path, text: str) -> ScriptedEngine:
    path = tmp_path / "script.jsonl"
    path.write_text(text, encoding="utf-8")
    return ScriptedEngine.from_file(path, rank=3)


def ask(engine: ScriptedEngine, *indices: int, stop: tuple[str, ...] = ()) -> list:
    engine.submit([Request(index, "a prompt of five", "1. Task:\n", stop, "0") for index in indices])
    return [completion for _ in indices for completion in engine.poll()]


def test_requests_are_answered_by_their_line_in_any_order(tmp_path):
    engine = engine_of(tmp_path, '{"text": "zero"}\n\n{"text": "one more", "finish_reason": "length"}\n')
    second, first = ask(engine, 1, 0)
    assert (first.request, first.text, first.finish_reason) == (0, "zero", "stop")
    assert (second.text, second.finish_reason, second.completion_tokens, second.rank) == ("one more", "length", 2, 3)
    assert first.prompt_tokens == 6 and engine.capacity == 2 and engine.poll() == []


def test_a_line_can_name_its_request(tmp_path):
    engine = engine_of(tmp_path, '{"request": 4, "text": "four"}\n{"request": 2, "text": "two"}\n')
    assert [item.text for item in ask(engine, 2, 4)] == ["two", "four"] and engine.capacity == 5


def test_stop_texts_are_cut_and_end_a_truncated_text(tmp_path):
    engine = engine_of(tmp_path, '{"text": "keep\\n20. Task: lose", "finish_reason": "length"}\n')
    completion = ask(engine, 0, stop=("lose", "\n20."))[0]
    assert (completion.text, completion.finish_reason) == ("keep", "stop")


def test_a_request_without_a_line_is_an_error_not_an_empty_text(tmp_path):
    completion = ask(engine_of(tmp_path, '{"text": "zero"}\n'), 7)[0]
    assert completion.finish_reason == "error" and "no completion for request 7" in completion.error


def test_the_revision_changes_with_the_content(tmp_path):
    one, same, other = (
        engine_of(tmp_path, text).model_revision for text in ('{"text": "a"}', '{"text":"a"}', '{"text": "b"}')
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"txt": "a"}', r':1: field "text" must hold the completion'),
        ('{"text": "a"}\n{"text": 3}', r":2: field"),
        ('{"text": "a", "request": "x"}', r':1: field "request" is \'x\''),
        ('{"text": "a", "request": 1}\n{"text": "b", "request": 1}', r":2: field"),
    ],
)
def test_bad_lines_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        engine_of(tmp_path, text)
