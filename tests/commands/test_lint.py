"""Linting and fixing whole files."""

import io
import json

import pytest

from self_instruct.datasets.defects import NAMES
from self_instruct.datasets.fixing import FIXED
from self_instruct.errors import UserError
from self_instruct.records import json_line
from tests.support.commands import run_command as main
from tests.support.dataset_files import conversation, lines
from tests.support.runs import rows

GOOD = {"instruction": "Name a river.", "input": "", "output": "The Rhine."}
BAD = [
    {"instruction": "Sort.\r\n", "input": " <noinput>", "output": "1 2\x00 3", "topic": "lists"},
    {"instruction": "Add.", "input": "\x00N/A", "output": ""},
    {"instruction": "Name it.", "input": "Input: none", "output": "    a\n    b\n"},
]


def linted(folder, *given, options=()):
    """Return the exit code and the report."""
    source, report = folder / "in.jsonl", folder / "found.json"
    source.write_text(lines(*given))
    code = main(["lint", str(source), "--report", str(report), *map(str, options)])
    return code, json.loads(report.read_text())


def counts(report):
    return {name: found["rows"] for name, found in report["findings"].items() if found["rows"]}


def test_findings_are_counted_and_shown_but_are_not_errors(tmp_path, capsys):
    code, report = linted(
        tmp_path, GOOD, *BAD, GOOD, GOOD, {**GOOD, "output": "As an AI, no."}, options=["--examples", 1]
    )
    assert code == 0 and (report["rows"], report["without_findings"]) == (7, 1)
    assert counts(report) == {
        "duplicate": 2, "no_input": 2, "empty_output": 1, "line_ends": 1, "control_characters": 2, "surrounding_space": 2,
        "as_an_ai": 1,
    }  # fmt: skip
    assert report["findings"]["duplicate"]["examples"] == [
        {"place": f"{tmp_path}/in.jsonl:5", "text": f"the same as {tmp_path}/in.jsonl:1"}
    ]
    assert set(report["findings"]) == set(NAMES)
    shown = capsys.readouterr().out
    assert "1 of 7 rows have no findings." in shown and f"{tmp_path}/in.jsonl:7  output: As an AI, no." in shown
    assert "\x00" not in shown


def test_a_fixed_file_has_no_faults_left(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    _, report = linted(tmp_path, GOOD, *BAD, options=["--fix", "--output", out])
    assert report["fixed"] == {"rows": 3, "faults": {
        "control_characters": 2, "line_ends": 1, "no_input": 3, "surrounding_space": 2}}  # fmt: skip
    assert rows(out) == [
        GOOD, {"instruction": "Sort.", "input": "", "output": "1 2 3", "topic": "lists"},
        {"instruction": "Add.", "input": "", "output": ""}, {"instruction": "Name it.", "input": "", "output": "    a\n    b"},
    ]  # fmt: skip
    assert out.read_bytes().splitlines()[0] == lines(GOOD).encode().strip()
    assert not (tmp_path / "out.rejected.jsonl").exists() and "3 rows were fixed:" in capsys.readouterr().out
    again = tmp_path / "again.jsonl"
    main(["lint", str(out), "--fix", "--output", str(again)])
    assert "No rows needed fixing." in capsys.readouterr().out
    report = json.loads((tmp_path / "again.report.json").read_text())
    assert not set(counts(report)) & set(FIXED) and report["fixed"] == {"rows": 0, "faults": {}}
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        ("u:a a:b u:c a:d", None), ("u:a a:b a:c", "turn 3 is an answer after another answer"),
        ("a:b u:c a:d", "turn 1 is an answer without a question"),
        ("u:a u:b a:c", "turn 2 is a question after another question"),
    ],
)  # fmt: skip
def test_turns_out_of_order_are_found_with_their_place(tmp_path, turns, found):
    _, report = linted(tmp_path, {"messages": conversation(turns)}, options=["--checks", "turn_order"])
    assert [example["text"] for example in report["findings"]["turn_order"]["examples"]] == ([found] if found else [])
    if found is not None:
        assert linted(tmp_path, {"messages": conversation(turns)}, options=["--fail_on", "turn_order"])[0] == 1


def test_calls_of_tools_may_be_several_turns_and_results_need_a_call(tmp_path):
    call = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    result, asked = {"role": "tool", "content": "4"}, {"role": "user", "content": "Add."}
    answer = {"role": "assistant", "content": "Four."}
    good = [
        [asked, call, result, answer],
        [asked, call, call, result, result, answer],
        [asked, answer, call, result, answer],
    ]
    rows = [{"messages": turns} for turns in [*good, [asked, result, answer]]]
    _, report = linted(tmp_path, *rows, options=["--checks", "turn_order"])
    assert [one["text"] for one in report["findings"]["turn_order"]["examples"]] == [
        "turn 2 is the result of a tool that was not called"
    ]


def test_conversations_are_checked_and_fixed_turn_by_turn(tmp_path):
    turns = conversation("u:See http://a.b a:It is http://a.b a:more u:And? a:http://a.b and http://c.d\r\n u:bye")
    given = {"id": "7", "messages": [{"role": "system", "content": "Be\x00 kind."}, *turns]}
    out = tmp_path / "out.jsonl"
    _, report = linted(tmp_path, given, options=["--fix", "--output", out])
    assert counts(report) == {
        "empty_output": 1, "invented_url": 1, "line_ends": 1, "surrounding_space": 1, "turn_order": 1,
    }  # fmt: skip
    assert report["findings"]["invented_url"]["examples"][0]["text"] == "http://c.d"
    (row,) = rows(out)
    assert row["system"] == "Be kind." and row["messages"][4]["content"] == "http://a.b and http://c.d"
    assert row["provenance"]["id"] == "7" and report["fixed"]["faults"]["control_characters"] == 1


@pytest.mark.parametrize(("options", "code"), [
    (["--fail_on", "no_input"], 1), (["--fail_on", "as_an_ai"], 0), (["--fail_on", "as_an_ai", "line_ends"], 1),
    (["--checks", "line_ends", "--fail_on", "line_ends"], 1), ([], 0),
])  # fmt: skip
def test_exit_code_with_fail_on(tmp_path, options, code):
    assert linted(tmp_path, *BAD, options=options)[0] == code


def test_unreadable_rows_are_reported(tmp_path, capsys):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(lines(GOOD) + "{\n" + lines({"instruction": 3}))
    assert main(["lint", str(source), "--fix", "--output", str(out)]) == 3
    assert [one["reason"] for one in rows(tmp_path / "out.rejected.jsonl")] == ["not_json", "wrong_type"]
    assert rows(out) == [GOOD] and "unreadable: not_json" in capsys.readouterr().out


def test_a_json_list_is_written_as_our_jsonl(tmp_path):
    source, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    source.write_text(json.dumps([GOOD, BAD[0]]))
    main(["lint", str(source), "--fix", "--output", str(out)])
    assert [(row["output"], json.loads(row["provenance"]["fields"])) for row in rows(out)] == [
        ("The Rhine.", {}), ("1 2 3", {"topic": "lists"})
    ]  # fmt: skip


def test_the_report_can_be_printed(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_bytes(json_line(GOOD) + json_line({**GOOD, "output": "\ud83d lost"}))
    assert main(["lint", str(source), "--report", "-"]) == 0
    assert counts(json.loads(capsys.readouterr().out)) == {"mojibake": 1}
    main(["lint", str(source)])
    assert "output: \\ud83d lost" in capsys.readouterr().out


def test_standard_input_is_read_while_the_report_goes_to_standard_output(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json_line(GOOD))))
    assert main(["lint", "-", "--report", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1


@pytest.mark.parametrize(("options", "message"), [
    (["--fix"], "need each other"),
    (["--output", "{tmp}/o.jsonl"], "need each other"),
    (["--fix", "--output", "{tmp}/o.json"], "ends in .jsonl"),
    (["--fix", "--output", "{tmp}/in.jsonl"], "would be overwritten"),
    (["--report", "{tmp}/in.jsonl"], "would overwrite an input file"),
    (["--fix", "--output", "{tmp}/o.jsonl", "--report", "{tmp}/o.jsonl"], "is also the path of --output_path"),
    (["--fix", "--output", "{tmp}/o.jsonl", "--report", "{tmp}/o.rejected.jsonl"], "is the file of the rejected rows"),
    (["--fix", "--output", "-", "--report", "-"], "both write to standard output"),
    (["--checks", "mojibake", "--fail_on", "truncated"], "is not in --checks"),
    (["--checks", "mojibak"], "must be one of"),
])  # fmt: skip
def test_mistakes_are_reported_before_anything_is_written(tmp_path, options, message):
    (tmp_path / "in.jsonl").write_text(lines(GOOD))
    with pytest.raises(UserError, match=message):
        main(["lint", str(tmp_path / "in.jsonl"), *(text.format(tmp=tmp_path) for text in options)])
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
