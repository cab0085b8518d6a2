"""Rows in another format than most of their file, and outputs under the field names of other formats."""

import json

import datasets
import pytest

from self_instruct.datasets.schemas import recognise
from self_instruct.user_files import LineError
from tests.datasets.test_convert import GOOD, converted, read
from tests.support.runs import rows

ANSWERED = {
    "alpaca": {"instruction": "a", "input": "i", "output": "o"},
    "dolly": {"instruction": "a", "context": "i", "response": "o", "category": "qa"},
    "airoboros": {"instruction": "a", "input": "i", "response": "o"},
    "distilabel": {"instruction": "a", "input": "i", "generation": "o"},
    "gpt4all": {"prompt": "a", "context": "i", "response": "o"},
    "question-answer": {"question": "a", "context": "i", "answer": "o"},
}


@pytest.mark.parametrize("container", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("most", ANSWERED)
def test_rows_of_other_formats_in_a_file_keep_all_fields(tmp_path, most, container, capsys):
    found = [ANSWERED[most]] * 9 + list(ANSWERED.values())
    source, out = tmp_path / f"mixed.{container}", tmp_path / "o.jsonl"
    if container == "parquet":  # a table has all columns, and null in most of them
        datasets.Dataset.from_list([dict.fromkeys(set().union(*ANSWERED.values())) | row for row in found]).to_parquet(
            source
        )
    else:
        text = json.dumps(found) if container == "json" else "".join(json.dumps(row) + "\n" for row in found)
        source.write_text(text)
    code, report, _ = converted(source, "jsonl", out)
    assert code == 0 and {(one.instruction, one.input, one.output) for one in read(out)} == {("a", "i", "o")}
    assert len(rows(out)) == len(found) and report["inputs"][0]["format"] == most
    others = (
        set(ANSWERED) - {most} - ({"dolly"} if most == "airoboros" else set())
    )  # the dolly row is read as airoboros too
    assert report["inputs"][0]["rows_of_other_formats"] == dict.fromkeys(sorted(others), 1)
    assert "1 rows were read as" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"instruction": "a", "response": "lost?"}, "alpaca"), ({"instruction": "a", "generation": "lost?"}, "jsonl"),
        ({"prompt": "a", "answer": "lost?"}, "prompt-completion"), ({"instruction": "a", "output": "lost?"}, "distilabel"),
    ],
)  # fmt: skip
def test_output_under_the_field_name_of_another_format_is_reported(tmp_path, row, format):
    source, out = tmp_path / "a.jsonl", tmp_path / "o.jsonl"
    source.write_bytes((GOOD + b"\n" if format == "auto" else b"") + json.dumps(row).encode())
    code, _, rejected = converted(source, "jsonl", out, "--input_format", format)
    assert code == 3 and [(one["reason"], "lost?" in one["text"]) for one in rejected] == [("no_output_field", True)]
    assert 'in "' in rejected[0]["detail"] and len(rows(out)) == (format == "auto")


@pytest.mark.parametrize(
    "row",
    [
        {"Question": "a", "Answer": "o"}, {"INSTRUCTION": "a", "RESPONSE": "o"},
        {"Instruction": "a", "Input": "", "Output": "o"},
        {"Messages": [{"Role": "user", "Content": "a"}, {"Role": "assistant", "Content": "o"}]},
        {"text": "a", "code": "o", "test_list": ["assert True"]}, {"prompt": "a", "text": "o"},
        {"prompt": "a", "responses": ["o", "p"]},
        {"role_1": "x", "message_1": "a", "message_2": "o"}, {"prompt": "a", "canonical_solution": "o", "test": "t"},
    ],
)  # fmt: skip
def test_question_and_answer_are_found_under_names_in_capitals_and_in_pairs_of_names(row):
    found = recognise([row], {}, "", "").read(row, "")
    assert (found.instruction, found.output) == ("a", "o")


def test_single_messages_of_threads_are_refused_and_not_read_as_answers():
    rows = [{"message_id": "1", "parent_id": None, "role": "prompter", "text": "a"}] * 2
    with pytest.raises(LineError, match="one message of a thread"):
        recognise(rows, {}, "", "").read(rows[0], "a.jsonl:1")
