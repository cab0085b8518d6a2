"""The curate command, in its own process, on files of any format."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from self_instruct.datasets.rows import LONGEST
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.judging import Curator, rules_of
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex, SentenceEncoder
from self_instruct.records import Record
from self_instruct.rules.filters import build_filters
from self_instruct.runs.journal import Entry
from tests.support.curation_runs import BY_MEANING, COMMAND, FILES, MINILM, curate, written
from tests.support.runs import DATASET, ROOT, environment, generate, rows, run, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return the tasks of a demonstration run that have an output, accepted or rejected, in generation order."""
    folder = tmp_path_factory.mktemp("source")
    assert generate(*scripted(write_script(folder / "script.jsonl", 60), folder / "run", 80)).returncode == 0
    found = [
        row for name in DATASET[:2] for row in rows(folder / "run" / name) if row["instruction"] and row["output"]
    ]
    return written(folder / "a.jsonl", *found)


# ---- kept lines


@pytest.mark.parametrize("reference", ["kept", "all"])
def test_decisions_are_the_same_as_those_of_a_run(source, tmp_path, reference):
    more = [*BY_MEANING, "--embedding_reference", reference, "--rouge_threshold", 0.55]
    assert curate("--input_path", source, "--output_path", tmp_path / "c.jsonl", *more).returncode == 0
    rules = rules_of(INSTRUCTION_OUTPUT, build_filters(""), Bounds(0.55, 0.8))
    novelty = Novelty([], EmbeddingIndex(SentenceEncoder(MINILM)), embedding_reference=reference)
    curator = Curator({None: rules}, novelty)
    kept, reasons = [], []
    for at, row in enumerate(rows(source)):
        record = Record("", row["instruction"], row["input"], row["output"])
        text = INSTRUCTION_OUTPUT.render(record, 1).removeprefix(INSTRUCTION_OUTPUT.open_block(1))
        (verdict,) = curator.decide(Entry(at, [], [], 1, "0" * 64, text, "stop", 1, 1, 0, None))
        if verdict.drop is None:
            kept.append(row)
        else:
            near = verdict.drop.nearest
            reasons.append((at + 1, verdict.drop.reason, near and int(near.id[:6]) + 1))
    assert rows(tmp_path / "c.jsonl") == kept
    found = rows(tmp_path / "c.rejected.jsonl")
    line = [int(row["place"].rpartition(":")[2]) for row in found]
    assert reasons == [
        (at, row["reason"], row["nearest"] and int(row["nearest"]["place"].rpartition(":")[2]))
        for at, row in zip(line, found, strict=True)
    ]
    assert {"rouge_l", "embedding"} <= {reason for _, reason, _ in reasons} and len(kept) > 20


def test_kept_records_of_a_run_stay_kept(source, tmp_path):
    records = source.parent / "run" / DATASET[0]
    result = curate("--input_path", records, "--output_path", tmp_path / "c.jsonl", "--rouge_threshold", 0.6)
    assert result.returncode == 0 and (tmp_path / "c.jsonl").read_bytes() == records.read_bytes()


def test_kept_lines_are_unchanged_and_in_order(tmp_path):
    first = '{"score":1.50e0, "output": "\\u00e9", "instruction" : "Name three rivers of Europe.", "x": [{"b": 1, "a": 2}]}'
    a = written(
        tmp_path / "a.jsonl", b"\xef\xbb\xbf" + first.encode() + b"\r\n\n", {"instruction": "Boil one egg for lunch"}
    )
    b = written(
        tmp_path / "b.jsonl",
        {"id": 7, "instruction": "Name three rivers of Europa.", "more": None},
        {"instruction": "Sort all numbers of a list.", "instances": [{"input": "3 1 2", "output": "1 2 3"}]},
    )
    result = curate("--input_path", a, b, "--output_path", tmp_path / "c.jsonl", "--filter_rules", "length")
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "c.jsonl").read_bytes().splitlines()
    assert lines == [first.encode(), a.read_bytes().splitlines()[2], b.read_bytes().splitlines()[1]]
    assert rows(tmp_path / "c.rejected.jsonl") == [
        {"id": "7", "place": f"{b}:1", "stage": "novelty", "reason": "rouge_l", "detail": "",
         "nearest": {"id": f"{a}:1", "score": pytest.approx(0.8), "place": f"{a}:1"}, "record": rows(b)[0]}
    ]  # fmt: skip


def test_the_input_is_compared_with_the_instruction(tmp_path):
    task = {"instruction": "Sort the numbers of the list.", "output": "done"}
    tasks = [{**task, "input": text} for text in ("3 1 2 9 8 7", "eleven of the twelve months", "3 1 2 9 8 7 6")]
    source = written(tmp_path / "a.jsonl", *tasks)
    assert curate("--input_path", source, "--output_path", tmp_path / "c.jsonl").returncode == 0
    assert rows(tmp_path / "c.jsonl") == tasks[:2]


def test_outputs_are_checked_only_in_files_that_have_them(tmp_path):
    without = written(
        tmp_path / "a.jsonl", {"instruction": "Name three rivers of Europe."}, {"instruction": "Boil it."}
    )
    other = {"instruction": "Sort all numbers of a list.", "output": "yes"}
    with_some = written(tmp_path / "b.jsonl", other, {"instruction": "Count every sheep on the hill"})
    rules = ["--filter_rules", "empty", "length", "blank", "input_as_output"]
    result = curate("--input_path", without, with_some, "--output_path", tmp_path / "c.jsonl", *rules)
    assert result.returncode == 0
    assert rows(tmp_path / "c.jsonl") == [rows(without)[0], other]
    found = [(row["place"], row["reason"], row["detail"]) for row in rows(tmp_path / "c.rejected.jsonl")]
    assert found == [(f"{without}:2", "too_short", "2 words"), (f"{with_some}:2", "empty_output", "")]


def test_a_preset_sets_rules_and_thresholds(tmp_path):
    task = {"instruction": "Draw an image of a tall tree.", "output": "done"}
    source = written(tmp_path / "a.jsonl", task, {"instruction": "Write a program that waits.", "output": "ok"})
    assert curate("--input_path", source, "--output_path", tmp_path / "c.jsonl").returncode == 0
    assert rows(tmp_path / "c.jsonl") == [task]
    result = curate("--input_path", source, "--output_path", tmp_path / "p.jsonl", "--preset", "alpaca")
    assert result.returncode == 0 and (tmp_path / "p.jsonl").read_bytes() == b""
    assert [row["reason"] for row in rows(tmp_path / "p.rejected.jsonl")] == ["keyword", "opening"]
    report = json.loads((tmp_path / "p.report.json").read_text())
    assert report["options"]["rouge_rule"] == "not_above" and report["options"]["filter_keywords"] == ["alpaca"]


def test_curate_reads_from_a_pipe(source, tmp_path):
    command = ["--input_path", "-", "--output_path", tmp_path / "c.jsonl"]
    result = subprocess.run(
        [*COMMAND, *map(str, command)], input=source.read_bytes(), cwd=ROOT, env=environment(), capture_output=True
    )
    assert result.returncode == 0
    assert curate("--input_path", source, "--output_path", tmp_path / "d.jsonl").returncode == 0
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "d.jsonl").read_bytes()
    assert rows(tmp_path / "c.rejected.jsonl")[0]["place"].startswith("stdin:")


# ---- unreadable lines

GOOD = {"instruction": "Name three rivers of Europe.", "output": "Rhine"}


@pytest.mark.parametrize(
    ("line", "reason", "text"),
    [
        (b'{"instruction": "Boil one egg for lu', "not_json", '{"instruction": "Boil one egg for lu'),
        (b'{"instruction": "caf\xe9"}\n', "not_utf8", '{"instruction": "caf\\xe9"}'),
        (b'["a"]\n', "not_an_object", '["a"]'),
        (b'{"output": "a"}\n', "missing_field", '{"output": "a"}'),
        (b'{"instruction": null}\n', "missing_field", '{"instruction": null}'),
        (b'{"instruction": 5}\n', "wrong_type", '{"instruction": 5}'),
        (b'{"instruction": "a", "output": ["b"]}\n', "wrong_type", '{"instruction": "a", "output": ["b"]}'),
        (b'{"instruction": "a", "instances": []}\n', "wrong_type", '{"instruction": "a", "instances": []}'),
        (b"[" * 100_000 + b"\n", "not_json", "[" * 2000),
        (b'{"instruction": "' + b"a" * 3 * LONGEST + b'"}\n', "too_long", '{"instruction": "' + "a" * 1983),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_unreadable_line_is_reported_and_the_rest_is_curated(tmp_path, line, reason, text):
    after = [] if not line.endswith(b"\n") else [{"instruction": "Boil one egg for lunch.", "output": "yes"}]
    source = written(tmp_path / "a.jsonl", GOOD, b"\n", line, *after)
    result = curate("--input_path", source, "--output_path", tmp_path / "c.jsonl")
    assert result.returncode == 3 and "1 rows could not be read" in result.stdout, result.stderr
    assert rows(tmp_path / "c.jsonl") == [GOOD, *after]
    (found,) = rows(tmp_path / "c.rejected.jsonl")
    assert (found["stage"], found["reason"], found["place"], found["text"]) == ("read", reason, f"{source}:3", text)
    assert found["detail"] and json.loads((tmp_path / "c.report.json").read_text())["drops"]["read"] == {reason: 1}


@pytest.mark.parametrize(("output", "message"), [("-", "cannot be a pipe"), ("o.parquet", "is written as JSONL")])
def test_an_output_whose_extension_does_not_fit_the_format_is_refused(tmp_path, output, message):
    written(tmp_path / "a.jsonl", {"instruction": "Name a river.", "output": "Rhine"})
    result = curate("--input_path", "a.jsonl", "--output_path", output, cwd=tmp_path)
    assert result.returncode == 2 and message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_output_that_an_input_links_to_is_not_replaced(tmp_path):
    written(tmp_path / "a.jsonl", GOOD)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    result = curate("--input_path", tmp_path / "link.jsonl", "--output_path", tmp_path / "a.jsonl")
    assert result.returncode == 2 and "would be overwritten" in result.stderr and "Traceback" not in result.stderr
    assert rows(tmp_path / "a.jsonl") == [GOOD]


def test_a_full_disk_leaves_the_output_as_it_was(source, tmp_path):
    written(tmp_path / "c.jsonl", GOOD)
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
    limited += (
        "from self_instruct.commands import curate; from self_instruct.commands.guard import guarded; import signal; "
    )
    limited += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); guarded(lambda: curate.main(sys.argv[1:]))"
    result = run(sys.executable, "-c", limited, "--input_path", source, "--output_path", tmp_path / "c.jsonl")
    assert result.returncode == 1 and os.strerror(errno.EFBIG) in result.stderr and "Traceback" not in result.stderr
    assert rows(tmp_path / "c.jsonl") == [GOOD] and os.listdir(tmp_path) == ["c.jsonl"]


def test_two_processes_do_not_write_the_same_output(tmp_path):
    source = written(tmp_path / "a.jsonl", GOOD)
    with (tmp_path / "c.jsonl.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        result = curate("--input_path", source, "--output_path", tmp_path / "c.jsonl")
        assert result.returncode == 2 and "another process is writing it" in result.stderr
    assert (
        curate("--input_path", source, "--output_path", tmp_path / "c.jsonl").returncode == 0
    )  # a killed process leaves the .part file
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", *(name for name in FILES if "rejected" not in name)]


def test_under_a_launcher_only_rank_0_curates(tmp_path):
    source = written(tmp_path / "a.jsonl", GOOD)
    command = ["--input_path", source, "--output_path", tmp_path / "c.jsonl"]
    assert curate(*command, RANK="1", WORLD_SIZE="2").returncode == 0 and not (tmp_path / "c.jsonl").exists()
    assert curate(*command, RANK="0", WORLD_SIZE="2").returncode == 0 and rows(tmp_path / "c.jsonl") == [GOOD]


def test_texts_that_rouge_cannot_compare_are_counted_and_warned_of(tmp_path):
    source = written(tmp_path / "in.jsonl", *[{"instruction": "บอกชื่อสัตว์หนึ่งตัว", "output": "แมว"}] * 3)
    for options, kept, warned in ((["empty"], 3, True), (["empty", "--rouge_tokenizer", "unicode"], 1, False)):
        out = tmp_path / "out.jsonl"
        done = run(*COMMAND, "--input_path", source, "--output_path", out, "--filter_rules", *options)
        assert done.returncode == 0 and len(rows(out)) == kept
        assert ("3 of 3 texts have no word that ROUGE-L compares" in done.stderr) == warned
        report = json.loads((tmp_path / "out.report.json").read_text())
        assert report.get("texts_without_tokens") == (3 if warned else None)
