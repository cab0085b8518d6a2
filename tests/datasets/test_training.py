"""Rows for trainers: they load with the datasets library, and have the fields that TRL reads."""

import json

import datasets
import pytest

from tests.datasets.test_convert import converted
from tests.support.commands import run_command as main
from tests.support.dataset_files import lines
from tests.support.runs import rows

ASKED = {"role": "user", "content": "Name a river."}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("The Ebro.", "No."))
TOOLS = [{"type": "function", "function": {"name": "rain", "parameters": {"at": "text"}}}]
CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "k", "type": "function", "function": {"name": "rain", "arguments": {"at": "Bergen"}}}]}  # fmt: skip
TEXTS = {"prompt": "Name a river.", "chosen": "The Ebro.", "rejected": "No."}
LISTS = {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]}


def written(tmp_path, to, *given):
    """Return the rows of a conversion, after the datasets library has loaded them, and the losses."""
    (tmp_path / "in.jsonl").write_text(lines(*given))
    code, report, _ = converted(tmp_path / "in.jsonl", to, tmp_path / "out.jsonl")
    assert code == 0
    place = str(tmp_path / "out.jsonl")
    table = datasets.load_dataset("json", data_files=place, split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == len(rows(tmp_path / "out.jsonl"))
    return rows(tmp_path / "out.jsonl"), report["inputs"][0]["lost"]


@pytest.mark.parametrize("row", [TEXTS, LISTS])
def test_preferences_are_written_as_they_were_read(tmp_path, row):
    assert written(tmp_path, "preference", row) == ([row], {})


def test_implicit_prompt_becomes_explicit(tmp_path):
    row = {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}
    assert written(tmp_path, "preference", row) == ([LISTS], {})


def test_pair_makes_two_labelled_rows_and_a_verdict_one(tmp_path):
    labelled = [
        {"prompt": "Name a river.", "completion": text, "label": good}
        for text, good in (("The Ebro.", True), ("No.", False))
    ]
    assert written(tmp_path, "kto", TEXTS) == (labelled, {})
    assert written(tmp_path, "kto", labelled[1]) == (labelled[1:], {})


@pytest.mark.parametrize("to", ["preference", "kto"])
def test_answers_without_a_verdict_are_rejected(tmp_path, to):
    (tmp_path / "in.jsonl").write_text(lines({"instruction": "a", "output": "b"}))
    _, report, _ = converted(tmp_path / "in.jsonl", to, tmp_path / "out.jsonl")
    assert report["inputs"][0]["written"] == 0


@pytest.mark.parametrize("to", ["messages", "sharegpt", "axolotl"])
def test_tools_are_a_column_and_content_beside_a_call_stays_null(tmp_path, to):
    turns = [ASKED, CALL, {"role": "tool", "content": "yes", "tool_call_id": "k"}, GOOD]
    (row,), lost = written(tmp_path, to, {"messages": turns, "tools": TOOLS})
    assert row["tools"] == TOOLS and lost == {}
    assert to == "sharegpt" or row["messages"] == turns


def test_images_are_a_column_and_their_positions_are_parts(tmp_path):
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "a.png"}}]
    (row,), lost = written(tmp_path, "messages", {"messages": [{"role": "user", "content": content}, GOOD]})
    assert row["images"] == ["a.png"] and lost == {}
    assert row["messages"][0]["content"] == [{"type": "text", "text": "What?"}, {"type": "image"}]


def test_messages_have_no_provenance_unless_asked_and_lose_annotations_by_name(tmp_path):
    part = {"type": "text", "text": "Name a river.", "cache_control": {"type": "ephemeral"}}
    (tmp_path / "in.jsonl").write_text(lines({"messages": [{"role": "user", "content": [part]}, GOOD], "seen": 3}))
    out = tmp_path / "out.jsonl"
    assert main(["convert", str(tmp_path / "in.jsonl"), "--to", "messages", "--output_path", str(out)]) == 0
    assert rows(out) == [{"messages": [ASKED, GOOD]}]
    lost = json.loads((tmp_path / "out.report.json").read_text())["inputs"][0]["lost"]
    assert lost == {"part: cache_control": 1, "fields: seen": 1}


def test_batch_llama_factory_and_axolotl_have_their_usual_form(tmp_path):
    (row,), lost = written(tmp_path, "openai-batch", {"instruction": "a", "output": "b", "id": "7"})
    assert (
        row["custom_id"] == "7"
        and row["body"]["messages"] == [{"role": "user", "content": "a"}]
        and lost["output"] == 1
    )
    (row,), _ = written(tmp_path, "llama-factory", {**TEXTS, "tools": TOOLS})
    assert row["conversations"] == [{"from": "human", "value": "Name a river."}] and json.loads(row["tools"]) == TOOLS
    assert (row["chosen"]["value"], row["rejected"]["value"]) == ("The Ebro.", "No.")
    (row,), _ = written(tmp_path, "axolotl", LISTS)
    assert row == {"messages": [ASKED], "chosen": GOOD, "rejected": BAD}
