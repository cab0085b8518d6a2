"""The clean command on whole files."""

import json
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.splitting import PER_TURN, estimated_tokens
from self_instruct.errors import UserError
from tests.support.commands import run_command as main
from tests.support.dataset_files import conversation, lines
from tests.support.runs import rejected_rows, rows, run
from tests.support.tiny_models import build_tokenizer, save_tiny_model

LONG = "an answer that is long enough"


def row(text, id="a", **more):
    turns = [{"from": {"user": "human", "assistant": "gpt"}.get(turn["role"], turn["role"]), "value": turn["content"]}
             for turn in conversation(text)]  # fmt: skip
    return {"id": id, "conversations": turns, **more}


def cleaned(folder, *given, options=()):
    """Return the exit code, the written samples, the rejected rows and the report."""
    source, out = folder / "in.jsonl", folder / "out.json"
    source.write_text(lines(*given))
    code = main(["clean", str(source), "--output", str(out), *map(str, options)])
    return (
        code, json.loads(out.read_text()), rejected_rows(folder / "out.rejected.jsonl"),
        json.loads((folder / "out.report.json").read_text()),
    )  # fmt: skip


def said(samples):
    return [[turn["value"] for turn in sample["conversations"]] for sample in samples]


def test_a_file_is_cleaned_and_reported(tmp_path, capsys):
    code, samples, rejected, report = cleaned(
        tmp_path,
        row(f"a:hi u:q a:{LONG} u:bye", "1"),
        row(f"u:q2 a:{LONG}", "1"),
        row(f"u:q a:{LONG}", "2"),
        row(f"u:q3 a:{LONG}", "3", plugins=["web"]),
        row(f"u:q4 u:q5 a:{LONG}", "4"),
        {"id": "5", "conversations": []},
        row(f"u:q6 a:{LONG}", "6", model="GPT-4"),
    )
    assert code == 3 and said(samples) == [["q", LONG], ["q6", LONG]]
    assert json.loads(samples[1]["provenance"]["fields"]) == {"model": "GPT-4"}
    assert [(one["place"][-1], one["stage"], one["reason"], one.get("turn")) for one in rejected] == [
        ("1", "turn", "before_question", 1), ("1", "turn", "unanswered", 4), ("2", "duplicate", "id", None),
        ("3", "duplicate", "first_pair", None), ("4", "conversation", "plugins", None), ("5", "conversation", "roles", None),
        ("6", "read", "no_turns", None),
    ]  # fmt: skip
    (about,) = report["inputs"]
    assert (about["rows"], about["written"], about["samples"]) == (7, 2, 2)
    assert about["turns"] == {"read": 15, "written": 4, "drops": {
        "conversation: plugins": 2, "conversation: roles": 3, "duplicate: first_pair": 2, "duplicate: id": 2,
        "turn: before_question": 1, "turn: unanswered": 1}}  # fmt: skip
    assert "Turns: 15 read, 4 written, 11 dropped" in capsys.readouterr().out


def test_the_same_id_in_another_file_is_a_different_id(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(lines(row(f"u:{name} a:{LONG}", "1")))
    main(["clean", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--output", str(tmp_path / "o.jsonl")])
    assert len(rows(tmp_path / "o.jsonl")) == 2


def test_parts_without_an_id_are_named_after_their_file_and_stay_apart(tmp_path):
    turns = f"u:one a:{LONG} u:two a:{LONG}"
    sources = [tmp_path / folder / "chats.jsonl" for folder in ("ada", "bob")]
    for number, source in enumerate(sources):
        source.parent.mkdir()
        source.write_text(lines({"conversations": row(turns.replace("one", str(number)))["conversations"]}))
    out = tmp_path / "o.json"
    assert main(["clean", *map(str, sources), "--output", str(out), "--max_tokens", "30"]) == 0
    ids = [sample["id"] for sample in json.loads(out.read_text())]
    assert len(set(ids)) == 4 and all(re.fullmatch(r"chats\.jsonl-[0-9a-f]{6}_0_[13]", id) for id in ids)
    assert main(["convert", *map(str, sources), "--to", "sharegpt", "--output", str(out)]) == 0
    whole = [sample["id"] for sample in json.loads(out.read_text())]
    assert [f"{id}_1" for id in whole] == ids[::2]


def test_rows_pass_through_all_commands_by_pipes(tmp_path):
    (tmp_path / "b.jsonl").write_text(lines({"question": "which river is the longest one of all", "answer": "x"}))
    (tmp_path / "a.jsonl").write_text(
        lines(row(f"u:q a:{LONG}"), row(f"u:which river is the longest one of all? a:{LONG}"))
    )
    command = f"{sys.executable} -m self_instruct.datasets"
    steps = [
        "convert - --to jsonl",
        "lint - --fix",
        f"decontaminate - --benchmarks {tmp_path}/b.jsonl",
        "clean - --to alpaca",
    ]
    pipeline = " | ".join(f"{command} {step} --output -" for step in steps)
    result = run("sh", "-c", f"cd {tmp_path} && {pipeline} < a.jsonl")
    assert json.loads(result.stdout) == [{"instruction": "q", "input": "", "output": LONG}], result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


def test_splitting_names_the_parts_and_reports_what_is_too_long(tmp_path):
    turns = f"u:one a:{LONG} u:two a:{LONG} u:three a:{'x' * 300} u:four a:{LONG}"
    _, samples, rejected, report = cleaned(tmp_path, row(turns, "c"), options=["--max_tokens", 30])
    assert [sample["id"] for sample in samples] == ["c_1", "c_3", "c_7"]
    assert said(samples) == [[asked, LONG] for asked in ("one", "two", "four")]
    assert [(one["stage"], one["reason"], one["turn"]) for one in rejected] == [
        ("split", "too_long", at) for at in (5, 6)
    ]
    assert report["tokens"] == "an estimate, one for every 3 bytes of UTF-8" and report["options"]["max_tokens"] == 30
    _, samples, _, _ = cleaned(tmp_path, row(turns, "c"), options=["--max_tokens", 3000])
    assert [sample["id"] for sample in samples] == ["c"]


def test_a_tokenizer_counts_if_it_is_given(tmp_path):
    tokenizer = build_tokenizer()
    model = save_tiny_model("llama", tmp_path / "model", tokenizer)
    texts = ["one", LONG, "two", LONG]
    needed = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + PER_TURN for text in texts)
    assert needed != sum(estimated_tokens(text) + PER_TURN for text in texts)
    for limit, parts in ((needed, 1), (needed - 1, 2)):
        given, options = row(f"u:one a:{LONG} u:two a:{LONG}"), ["--max_tokens", limit, "--model_name_or_path", model]
        _, samples, _, report = cleaned(tmp_path, given, options=options)
        assert len(samples) == parts and report["tokens"] == f"the tokenizer of {model}"


@pytest.mark.parametrize(("turns", "options", "reason"), [
    (f"u:q a:1. a\n1. {LONG}", [], "sample: wrong_list"),
    (f"u:q a:1. a\n1. {LONG}", ["--wrong_lists", "false"], None),
    (f"u:q a:{LONG}000000000", [], None),
    (f"u:q a:{LONG}000000000", ["--repeated_digits", 9], "sample: repeated_digits"),
    ("u:q a:I am made by OpenAI.", [], None),
    ("u:q a:I am made by OpenAI.", ["--drop_mentions", "openai", "chatgpt"], "conversation: mention"),
    ("u:q a:Das ist eine Antwort in deutscher Sprache, nicht wahr?", ["--keep_languages", "en"], "conversation: language"),
    ("u:q a:Das ist eine Antwort in deutscher Sprache, nicht wahr?", ["--keep_languages", "en", "de"], None),
    ("u:q a:Das ist eine Antwort in deutscher Sprache, nicht wahr?", ["--skip_languages", "de"], "conversation: language"),
    ("u:q a:Das ist eine Antwort in deutscher Sprache, nicht wahr?", ["--skip_languages", "ko"], None),
    (f"u:q a:{LONG} u:r a:{LONG}", ["--to", "alpaca"], "format: multi_turn"),
])  # fmt: skip
def test_options_that_drop_a_conversation(tmp_path, turns, options, reason):
    _, samples, rejected, report = cleaned(tmp_path, row(turns), options=options)
    drops = report["inputs"][0]["drops"]
    assert (drops, len(samples), len(rejected)) == (({reason: 1}, 0, 1) if reason else ({}, 1, 0))
    turns = report["inputs"][0]["turns"]
    assert turns["read"] == turns["written"] + sum(turns["drops"].values())


def test_fields_that_the_format_cannot_hold_are_reported(tmp_path, capsys):
    given = row(f"u:q a:{LONG}", id="")
    given["conversations"][1]["reasoning_content"] = "Hm."
    _, _, _, report = cleaned(tmp_path, given, options=["--to", "alpaca"])
    assert report["inputs"][0]["lost"] == {"turn: reasoning_content": 1}
    assert f"{'turn: reasoning_content':<40} {1:>12}" in capsys.readouterr().out


def test_single_tasks_are_conversations_of_two_turns(tmp_path):
    _, samples, _, _ = cleaned(tmp_path, {"instruction": "Sort these.", "input": "3 1", "output": "1 and then 3"})
    assert said(samples) == [["Sort these.\n3 1", "1 and then 3"]]


@pytest.mark.parametrize(("options", "message"), [
    ([], "--output_path is missing"),
    (["--output", "{tmp}/in.jsonl"], "would be overwritten"),
    (["--output", "{tmp}/o.txt"], "written to .json or .jsonl"),
    (["--output", "{tmp}/o.json", "--keep_languages", "en", "--skip_languages", "ko"], "give only one of them"),
    (["--output", "{tmp}/o.json", "--keep_languages", "xx"], "--keep_languages is 'xx'"),
    (["--output", "{tmp}/o.json", "--max_tokens", "0"], "must be at least 1"),
    (["--output", "{tmp}/o.json", "--model_name_or_path", "x/y"], "counts tokens for --max_tokens, which is missing"),
    (["--output", "{tmp}/o.json", "--max_tokens", "9", "--model_name_or_path", "{tmp}/none"], "there is no such folder"),
    (["--output", "{tmp}/o.json", "--html", "yes"], "must be one of auto, never"),
])  # fmt: skip
def test_mistakes_are_reported_before_anything_is_written(tmp_path, options, message):
    (tmp_path / "in.jsonl").write_text(lines(row(f"u:q a:{LONG}")))
    with pytest.raises(UserError, match=message):
        main(["clean", str(tmp_path / "in.jsonl"), *(text.format(tmp=tmp_path) for text in options)])
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


CONVERSATIONS = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["human", "gpt", "human", "gpt", "tool"]),
                  st.sampled_from(["", LONG, "short", "x" * 90, "openai", "1. a\n1. b", "777777", "\x00"])),
        max_size=8,
    ) | st.lists(st.sampled_from([LONG, "x" * 90, "short", "1. a\n1. b"]), max_size=8).map(
        lambda texts: [(("human", "gpt")[at % 2], text) for at, text in enumerate(texts)]),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(CONVERSATIONS, st.integers(13, 120), st.sampled_from(["sharegpt", "alpaca"]))
def test_turns_read_are_turns_written_and_turns_dropped(conversations, limit, to):
    given = [{"id": str(at), "conversations": [{"from": name, "value": text} for name, text in turns]}
             for at, turns in enumerate(conversations)]  # fmt: skip
    given = [one for one in given if one["conversations"]] or [row(f"u:q a:{LONG}")]
    options = ["--max_tokens", limit, "--to", to, "--drop_mentions", "openai", "--repeated_digits", 6]
    with tempfile.TemporaryDirectory() as folder:
        _, samples, rejected, report = cleaned(Path(folder), *given, options=options)
    (about,) = report["inputs"]
    turns, texts = (
        about["turns"],
        said(samples) if to == "sharegpt" else [[s["instruction"], s["output"]] for s in samples],
    )
    assert turns["read"] == sum(len(one["conversations"]) for one in given)
    assert turns["read"] == turns["written"] + sum(turns["drops"].values())
    assert turns["written"] == sum(map(len, texts)) and about["samples"] == len(samples)
    assert about["rows"] == len(given) == about["written"] + sum(about["drops"].values())
    assert all(sum(estimated_tokens(text) + PER_TURN for text in sample) <= limit for sample in texts)
    assert all(sample and len(sample) % 2 == 0 and all(sample) for sample in texts)
    assert bool(rejected) == bool(turns["drops"])
