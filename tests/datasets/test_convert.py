"""Conversion of every format to every other one and back."""

import json
import sys
from collections import Counter
from dataclasses import replace

import datasets
import pytest

from self_instruct.datasets.reading import Source, open_sources
from self_instruct.datasets.template import PREAMBLE
from self_instruct.datasets.writing import SUFFIXES
from self_instruct.errors import UserError
from tests.support.commands import run_command as main
from tests.support.dataset_files import FORMAT_OF, TURNS, lines, write_all
from tests.support.processes import wait_until
from tests.support.runs import rejected_rows, rows, start

TRAINERS = ("preference", "kto", "openai-batch", "llama-factory", "axolotl")
LMFLOW = ("text_only", "text2text", "conversation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("files"))


def read(path, **more):
    """Return the examples of a file."""
    (reader,) = open_sources([Source(str(path), **more)])
    return [item[1] for item in reader.rows()]


def converted(path, to, out, *more):
    """Return the exit code of a conversion, its report and the rejected rows."""
    more = (*more, "--with_provenance") if to == "messages" else more
    code = main(["convert", str(path), "--to", to, "--output", str(out), *map(str, more)])
    stem = out.with_suffix("")
    return (
        code,
        json.loads(stem.with_suffix(".report.json").read_text()),
        rejected_rows(stem.with_suffix(".rejected.jsonl")),
    )


@pytest.mark.parametrize("name", FORMAT_OF)
def test_format_is_detected_from_content(folder, name):
    (reader,) = open_sources([Source(str(folder / name))])
    assert reader.schema.name == FORMAT_OF[name] and reader.schema.what in reader.described
    assert all(not hasattr(item, "reason") for item in reader.rows())


def test_fields_of_every_format_are_read(folder):
    def texts(name):
        return [(one.instruction, one.input, one.output, one.category) for one in read(folder / name)]

    assert texts("alpaca.json")[:2] == [("Name a river.", "", "The Rhine.", ""), ("Sort.", "3 1", "1 3", "")]
    assert texts("comparison.json") == texts("comparison_v2.json") == [("Say hi.", "", "Hi!", "")]
    assert texts("seeds.jsonl")[1] == ("What is the relation?", "Night : Day", "opposites", "")
    assert texts("dolly.jsonl")[0] == ("When did it open?", "The line opened in 1903.[42]", "In 1903.", "closed_qa")
    assert texts("airoboros_input.jsonl") == [("Sort.", "3 1", "1 3", "")]
    assert texts("distilabel.jsonl") == [("Name a river.", "", "The Rhine.", ""), ("Sort.", "3 1", "1 3", "")]
    assert [one.system for one in read(folder / "distilabel.jsonl")] == ["Be brief.", ""]
    assert texts("context.jsonl") == [("Who grazes?", "Sheep graze.", "Sheep.", "")]
    assert texts("wild_v2.jsonl")[0] == ("Write snake\\_case for 'a b'", "", "", "Generation")
    assert [one.category for one in read(folder / "magpie.parquet")] == ["Reasoning"] * 2
    assert [len(one.turns) for one in read(folder / "magpie.parquet")] == [2, 4]
    assert read(folder / "magpie.parquet")[1].fields["reward"] is None
    first = read(folder / "sharegpt.json")[0]
    assert (first.system, first.instruction, first.output, first.id) == (
        "Be brief.",
        TURNS[1]["value"],
        "Jane Austen.",
        "QWJhYvA_0",
    )
    assert first.messages[3] == {"role": "assistant", "content": "Bram Stoker.", "from": "bing", "weight": 1}
    assert read(folder / "run.jsonl")[0].id == "000001-02"
    assert read(folder / "seeds.jsonl")[1].fields["instances"][1]["input"] == "Up : Down"


@pytest.mark.parametrize("to", [to for to in SUFFIXES if to not in TRAINERS])
@pytest.mark.parametrize("name", FORMAT_OF)
def test_round_trip_keeps_fields_of_the_format_and_reports_losses(folder, tmp_path, name, to):
    before, out = read(folder / name), tmp_path / f"out{SUFFIXES[to][0]}"
    code, report, rejected = converted(folder / name, to, out)
    (share,) = report["inputs"]
    assert code == 0 and share["rows"] == len(before) == share["written"] + sum(share["drops"].values())
    assert Counter(f"{row['stage']}: {row['reason']}" for row in rejected) == share["drops"]
    gone = {row["place"] for row in rejected}
    positions = [item[0].place for item in open_sources([Source(str(folder / name))])[0].rows()]
    kept = [one for one, place in zip(before, positions, strict=True) if place not in gone]
    after = read(out) if kept else []
    assert len(after) == len(kept)
    for old, new in zip(kept, after, strict=True):
        if to in ("jsonl", "parquet"):
            assert new == replace(old, messages=new.messages) and new.turns == old.turns
            continue
        if to == "alpaca":
            assert (new.instruction, new.input, new.output) == (old.instruction, old.input, old.output)
        plain = [{key: turn[key] for key in ("role", "content")} for turn in old.turns]
        assert [{key: turn[key] for key in ("role", "content")} for turn in new.turns] == plain or to == "alpaca"
        if to in ("messages", "sharegpt"):
            assert (new.fields, new.id, new.category, new.turns) == (old.fields, old.id, old.category, old.turns)
            assert (new.path, new.row) == (old.path, old.row)
        lost = share["lost"]
        assert old.output or not old.is_single_turn or lost["output (there was none)"]
        assert new.system == old.system or lost["system"]
        assert to in ("messages", "sharegpt", "prompt-completion") or not old.category or lost["category"]
        assert not old.input or old.messages or to == "alpaca" or lost["input (joined to the instruction)"]


def test_each_format_is_written_in_its_usual_form(folder, tmp_path):
    def first(name, to):
        out = tmp_path / f"o{SUFFIXES[to][0]}"
        converted(folder / name, to, out)
        text = out.read_text(encoding="utf-8")
        return json.loads(text) if out.suffix == ".json" else json.loads(text.splitlines()[0])

    assert first("dolly.jsonl", "alpaca")[1] == {"instruction": "Give me ideas.", "input": "", "output": "Swim."}
    assert first("sharegpt.json", "sharegpt")[0]["conversations"] == TURNS
    system, question, answer = first("sharegpt.json", "messages")["messages"][:3]
    assert system == {"role": "system", "content": "Be brief."} and question["role"] == "user" and answer["content"]
    assert first("prompt.jsonl", "prompt-completion")["completion"] == " 5"
    assert [turn["content"] for turn in first("prompt_chat.jsonl", "prompt-completion")["completion"]] == ["10"]
    assert first("lmflow_pairs.json", "lmflow") == json.loads((folder / "lmflow_pairs.json").read_text())
    chat = json.loads((folder / "lmflow_chat.json").read_text())
    chat["instances"][0]["conversation_id"] = "7"
    assert first("lmflow_chat.json", "lmflow") == chat
    assert first("gpt4all.jsonl", "vicuna") == {"text": f"{PREAMBLE} USER: Why is\nit dark? ASSISTANT: It is night."}
    block = read(folder / "airoboros.jsonl")[0].instruction
    assert first("airoboros.jsonl", "vicuna") == {"text": f"You cite. USER: {block} ASSISTANT: Sheep."}


def test_several_inputs_stay_in_order_and_carry_their_source(folder, tmp_path):
    inputs = [str(folder / name) for name in ("dolly.jsonl", "sharegpt.json", "qa.jsonl")]
    out = tmp_path / "all.parquet"
    assert (
        main(["convert", *inputs, "--to", "parquet", "--output", str(out), "--source", "mine", "--license", "MIT"])
        == 0
    )
    found = read(out)
    assert [one.instruction for one in found] == [one.instruction for path in inputs for one in read(path)]
    assert {(one.source, one.license) for one in found} == {("mine", "MIT")}
    assert [one.row for one in found] == [0, 1, 0, 1, 2, 0] and found[0].path == inputs[0]


@pytest.mark.parametrize(("name", "place"), [("a.jsonl", ":2"), ("a.json", "[1]")])
def test_nan_becomes_null_and_is_counted_with_locations(tmp_path, capsys, name, place):
    source, given = tmp_path / name, [{"instruction": "a"}, {"instruction": "b", "reward": float("nan")}]
    source.write_text(lines(*given) if name == "a.jsonl" else json.dumps(given))
    _, report, _ = converted(source, "jsonl", tmp_path / "o.jsonl")
    assert report["inputs"][0]["repaired"] == {"nan": {"rows": 1, "first": [f"{source}{place}"]}}
    assert f"{source}{place}" in capsys.readouterr().out and read(tmp_path / "o.jsonl")[1].fields == {"reward": None}


def test_written_files_load_with_the_datasets_library(folder, tmp_path):
    out = tmp_path / "o.jsonl"
    inputs = [str(folder / name) for name in FORMAT_OF]
    assert main(["convert", *inputs, "--to", "jsonl", "--output", str(out)]) == 0
    table = datasets.load_dataset("json", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(table) == len(rows(out)) and table[0]["instruction"] == rows(out)[0]["instruction"]
    table.save_to_disk(str(tmp_path / "saved"))
    assert [one.turns for one in read(tmp_path / "saved")] == [one.turns for one in read(out)]
    datasets.DatasetDict(a=table, b=table).save_to_disk(str(tmp_path / "splits"))
    assert len(read(tmp_path / "splits", split="b")) == len(table)
    with pytest.raises(UserError, match="several splits; give --split, one of a, b"):
        read(tmp_path / "splits")


LIMITED_MEMORY = """
import resource, sys
from self_instruct.commands.convert import main
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + (24 << 20),) * 2)
sys.exit(main(["-", "--to", "alpaca", "--output", sys.argv[1]]))
"""


def test_list_from_a_pipe_is_read_in_constant_memory(tmp_path):
    out = tmp_path / "o.json"
    row = json.dumps({"instruction": "a", "output": "b" * 4000})
    command = f"print('['); [print({row!r}, ',') for at in range(10000)]; print(']')"
    script = f'{sys.executable} -c "$MAKE" | {sys.executable} -c "$LIMITED_MEMORY" {out}'
    process = start("sh", "-c", script, MAKE=command, LIMITED_MEMORY=LIMITED_MEMORY)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert wait_until(out.exists) and out.stat().st_size > 40_000_000


# ---- damaged files, and unreadable rows

GOOD = b'{"instruction": "a", "output": "b"}'
CHAT = b'{"messages": [{"role": "user", "content": "a"}]}\n'


@pytest.mark.parametrize(
    ("name", "content", "kept", "problem"),
    [
        ("cut.json", b"[" + GOOD + b', {"instruction": "c', 1, "not_json"),
        ("no_end.json", b"[" + GOOD, 1, "cut"),
        ("after.json", b"[" + GOOD + b"]\n" + GOOD, 1, "after_the_list"),
        ("text.json", b"[" + GOOD + b"]\nthe end", 1, "after_the_list"),
        ("deeper.json", b'{"data": [' + GOOD + b'], "more": {"test": [' + GOOD + b"]}}", 1, "nested"),
        ("mixed.json", b'{"data": [' + GOOD + b'], "test": [1, ' + GOOD + b"]}", 1, "nested"),
        ("open.json", b'{"train": [' + GOOD + b'], "test": [' + GOOD + b"]", 2, "cut"),
        ("key.json", b'{"train": [' + GOOD + b'], test: [' + GOOD + b"]}", 1, "not_json"),
        ("licenses.json", b'{"data": [' + GOOD + b'], "licenses": [{"id": 1}]}', 1, "missing_field"),
        ("types.json", b'{"type": "text2text", "instances": [{"input": "a", "output": "b"}]}\n'
         b'{"type": "image_text", "instances": [{"text": "a"}]}', 1, "other_type"),
        ("unquoted.json", b"[" + GOOD + b', {"instruction": "x}, ' + GOOD + b"]", 2, "not_json"),
        ("bare.json", b"[" + GOOD + b", {'instruction': 'x'}, " + GOOD + b"]", 2, "not_json"),
        ("escape.jsonl", GOOD + b'\n{"instruction": "snake\\_case"}\n' + GOOD, 2, "not_json"),
        ("control.jsonl", GOOD + b'\n{"instruction": "a\tb"}\n' + GOOD, 2, "not_json"),
        ("digits.jsonl", GOOD + b'\n{"instruction": ' + b"1" * 5000 + b"}\n" + GOOD, 2, "not_json"),
        ("scalars.json", b"[1, " + GOOD + b', "a", null]', 1, "not_an_object"),
        ("latin.json", b"[" + GOOD + b', {"instruction": "caf\xe9"}]', 1, "not_utf8"),
        ("latin.jsonl", GOOD + b'\n{"instruction": "caf\xe9"}\n', 1, "not_utf8"),
        ("half.jsonl", GOOD + b'\n{"instruction": "c', 1, "not_json"),
        ("deep.jsonl", GOOD + b"\n" + b"[" * 200_000, 1, "not_json"),
        ("deep.json", b"[" + GOOD + b", " + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"]", 1, "not_json"),
        ("long.jsonl", GOOD + b'\n{"instruction": "' + b"a" * (1 << 22) + b'"}\n', 1, "too_long"),
        ("number.jsonl", GOOD + b'\n{"instruction": "a", "output": 5}\n', 1, "wrong_type"),
        ("missing.jsonl", GOOD + b"\n" + GOOD + b'\n{"output": "c"}\n', 2, "missing_field"),
        ("null.jsonl", GOOD + b'\n{"instruction": null}\n', 1, "missing_field"),
        ("turnless.jsonl", CHAT + b'{"messages": []}\n', 1, "no_turns"),
        ("roleless.jsonl", CHAT + b'{"messages": [{"content": "a"}]}\n', 1, "no_role"),
        ("picture.jsonl", CHAT + b'{"messages": [{"role": "user", "content": [3]}]}\n', 1, "wrong_type"),
        ("turns.jsonl", b'{"text": "p USER: a ASSISTANT: b"}\n{"text": "p USER: a USER: b ASSISTANT: c"}\n', 1,
         "ambiguous_turns"),
        ("instances.jsonl", b'{"instruction": "a", "instances": [{"output": "b"}]}\n{"instruction": "a", "instances": []}\n', 1,
         "wrong_type"),
        ("scores.json", b'[{"user_input": "a", "completion_a": "b"}, {"user_input": "a", "responses_and_scores": [1]}]', 1,
         "wrong_type"),
    ],
)  # fmt: skip
def test_unreadable_row_is_rejected_and_the_rest_converted(tmp_path, name, content, kept, problem):
    source = tmp_path / name
    source.write_bytes(content)
    code, report, rejected = converted(source, "jsonl", tmp_path / "o.jsonl")
    assert code == 3 and len(rows(tmp_path / "o.jsonl")) == kept == report["inputs"][0]["written"]
    assert {(row["stage"], row["reason"]) for row in rejected} == {("read", problem)}
    assert all(row["detail"] and row["place"].startswith(str(source)) for row in rejected)
    assert report["inputs"][0]["rows"] == kept + len(rejected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "holds no row"),
        ("a.json", b"[]", "holds no row"),
        ("a.jsonl", b"\n \n", "holds no row"),
        ("a.jsonl", b"nonsense\n", "none of 1 rows could be read"),
        ("a.json", "[]".encode("utf-16"), "is UTF-16"),
        ("a.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
        ("a.json", b"<!DOCTYPE html>", "download the raw file"),
        ("a.zip", b"PK\x03\x04rest", "is a zip archive"),
        ("a.parquet", b"PAR1 and no more", "is damaged or incomplete Parquet"),
        ("a.gz", b"\x1f\x8b\x08\x00cut", "is cut or damaged"),
        (
            "a.jsonl",
            b'{"name": "Ada", "age": 36}\n',
            "rows with the fields name, age; give the format with --input_format",
        ),
        ("a.json", b'{"type": "image_text", "instances": [{"text": "a"}]}', "LMFlow of type 'image_text'"),
        ("none.json", None, "cannot be read (No such file"),
    ],
)
def test_unsupported_or_damaged_file_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "o.jsonl").write_bytes(GOOD)
    with pytest.raises(UserError) as raised:
        main(["convert", str(tmp_path / name), "--to", "jsonl", "--output", str(tmp_path / "o.jsonl")])
    assert message in str(raised.value) and (tmp_path / "o.jsonl").read_bytes() == GOOD
    assert {path.name for path in tmp_path.iterdir()} <= {name, "o.jsonl"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{a}", "--to", "jsonl"], "--output_path is missing"),
        (["{a}", "--output", "{tmp}/o.jsonl"], "--to is missing"),
        (["{a}", "--to", "csv", "--output", "{tmp}/o.csv"], "must be one of jsonl, alpaca"),
        (["{a}", "--to", "parquet", "--output", "{tmp}/o.jsonl"], "written to .parquet files"),
        (["{a}", "--to", "jsonl", "--output", "{a}"], "would be overwritten"),
        (["{a}", "{a}", "--to", "jsonl", "--output", "{tmp}/o.jsonl"], "every row of it would be a duplicate"),
        (["{tmp}", "--to", "jsonl", "--output", "{tmp}/o.jsonl"], "is a directory"),
        (["nobody/nothing", "--to", "jsonl", "--output", "{tmp}/o.jsonl"], "HF_HUB_OFFLINE is set"),
        (["{a}", "--input_format", "alpacca", "--to", "jsonl", "--output", "{tmp}/o.jsonl"], "did you mean alpaca?"),
    ],
)
def test_mistakes_are_reported_by_option(tmp_path, monkeypatch, options, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    with pytest.raises(UserError) as raised:
        main(["convert", *(part.format(a=tmp_path / "a.jsonl", tmp=tmp_path) for part in options)])
    assert message in str(raised.value) and [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_named_format_overrides_detection(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "response": "b", "completion": "c"}\n')
    (gpt4all,), (pairs,) = (read(tmp_path / "a.jsonl", format=name) for name in ("gpt4all", "prompt-completion"))
    assert (gpt4all.output, pairs.output) == ("b", "c")
