"""Reading conversations without losing fields silently."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.datasets import template
from self_instruct.datasets.chats import conversation, magpie
from self_instruct.datasets.example import ASSISTANT, USER
from self_instruct.datasets.marked_text import templated
from tests.support.commands import run_command as main
from tests.support.dataset_files import lines
from tests.support.runs import rows

CALL = [{"name": "clock"}]


def read_turns(*turns):
    return conversation({"messages": [dict(zip(("role", "content"), turn, strict=True)) for turn in turns]}, "place")


@pytest.mark.parametrize("change", [str.upper, str.title, str.lower])
def test_role_names_are_case_insensitive(change):
    roles = ("system", "user", "assistant", "tool")
    one = read_turns(*((change(role), f"of {role}") for role in roles))
    assert (one.system, one.instruction, one.output) == ("of system", "of user", "of assistant")
    assert [turn["role"] for turn in one.messages] == list(roles[1:]) and one.fields == {}
    assert all(set(turn) == {"role", "content"} for turn in one.messages)
    assert read_turns(("Narrator", "Once."), ("GPT", "So.")).messages[0]["role"] == "Narrator"


def test_first_system_turn_becomes_system_prompt_with_extra_fields_kept(tmp_path):
    row = {"conversations": [{"from": "System", "value": "Be brief.", "weight": 0}, {"from": "human", "value": "Hi."},
                             {"from": "gpt", "value": "Hello."}]}  # fmt: skip
    one = conversation(row, "place")
    assert (one.system, len(one.messages), one.fields) == ("Be brief.", 2, {"system": {"weight": 0}})
    (tmp_path / "a.jsonl").write_text(lines(row))
    assert (
        main(
            [
                "convert",
                str(tmp_path / "a.jsonl"),
                "--to",
                "messages",
                "--with_provenance",
                "--output",
                str(tmp_path / "b.jsonl"),
            ]
        )
        == 0
    )
    again = conversation(rows(tmp_path / "b.jsonl")[0], "place")
    assert (again.system, again.messages, again.fields) == (one.system, one.messages, one.fields)


@pytest.mark.parametrize("text", ["USER: a ASSISTANT: b</s>", "p USER: a ASSISTANT: b</s>USER: c ASSISTANT: d</s>"])
def test_end_token_is_removed_from_last_answer(text):
    one = templated({"text": text}, "place")
    assert one.turns[-1]["content"] in ("b", "d") and template.END not in json.dumps(one.turns)


TEXT = st.text("ab </s>", max_size=12).filter(lambda text: text.strip())


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), st.booleans())
def test_turns_survive_rendering_and_parsing_the_template(system, pairs, answered):
    turns = [
        {"role": role, "content": text} for pair in pairs for role, text in zip((USER, ASSISTANT), pair, strict=True)
    ]
    turns = turns if answered else turns[:-1]
    assert template.parse(template.render(system, turns)) == (system, turns)


@pytest.mark.parametrize(("to", "ending", "lost"), [
    ("alpaca", "json", True), ("vicuna", "jsonl", True), ("prompt-completion", "jsonl", False), ("messages", "jsonl", False),
    ("sharegpt", "json", False), ("lmflow", "json", False), ("jsonl", "jsonl", False), ("parquet", "parquet", False),
])  # fmt: skip
def test_extra_fields_of_turns_are_kept_or_counted_as_lost(tmp_path, capsys, to, ending, lost):
    asked = {"role": "user", "content": "What time is it?"}
    first = {"role": "assistant", "content": "Noon.", "reasoning_content": "The sun is high.", "tool_calls": CALL}
    row = {"messages": [asked, first]}
    (tmp_path / "a.jsonl").write_text(lines(row, {"messages": [asked, {"role": "assistant", "content": "One."}]}))
    assert main(["convert", str(tmp_path / "a.jsonl"), "--to", to, "--output", str(tmp_path / f"b.{ending}")]) == 0
    (about,) = json.loads((tmp_path / "b.report.json").read_text())["inputs"]
    assert about["lost"] == ({"turn: reasoning_content": 1, "turn: tool_calls": 1} if lost else {})
    assert ("turn: tool_calls" in capsys.readouterr().out) is lost
    assert lost is (b"The sun is high." not in (tmp_path / f"b.{ending}").read_bytes())


def test_magpie_row_keeps_fields_of_its_turns():
    row = {"instruction": "Why?", "response": "So.", "system": "Be brief.", "conversations": [
        {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So.", "reasoning_content": "Hm."}]}  # fmt: skip
    one = magpie(row, "place")
    assert one.messages[1]["reasoning_content"] == "Hm." and one.system == "Be brief."
    plain = [{"from": "system", "value": "Be brief."}, *row["conversations"][:1], {"from": "gpt", "value": "So."}]
    for system in ("", "Be brief."):
        simple = magpie({**row, "system": system, "conversations": plain}, "place")
        assert (simple.messages, simple.system, simple.output) == ((), "Be brief.", "So.")
