"""Rows passing through a step: counted, written, rejected and published together."""

import json
from pathlib import Path

import pytest

from self_instruct.datasets.pipeline import Reject, Result, Step, open_pipeline, rejected, written_files
from self_instruct.datasets.reading import Source
from self_instruct.errors import UserError
from self_instruct.records import Drop
from self_instruct.runs.layout import OutputPaths
from tests.support.dataset_files import lines
from tests.support.runs import rows

ROWS = (
    lines({"instruction": "Name a river.", "output": "Rhine"}, {"instruction": "Sort.", "output": "1 3"}) + "broken\n"
)
FILES = ["o.jsonl", "o.rejected.jsonl", "o.report.json"]


class _LongOnly(Step):
    """Keep instructions of several words; `seen` has the batch sizes."""

    def __init__(self, batch=1):
        self.batch, self.seen = batch, []

    def apply(self, items):
        self.seen.append(len(items))
        return super().apply(items)

    def apply_to(self, row):
        line, example = row
        if " " in example.instruction:
            return Result([line.raw, line.raw])
        return rejected(row, Drop("length", "short", example.instruction), words=1)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(ROWS)
    return Source(str(path))


def run_step(source, output, step, report=None):
    with open_pipeline([source], output, report=report) as pipeline:
        tally = pipeline.run(pipeline.readers[0].rows(), step)
        pipeline.report = {"kept": tally.kept}
    return tally


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_every_row_is_kept_or_rejected_in_order_whatever_the_batch(tmp_path, source, batch):
    step = _LongOnly(batch)
    tally = run_step(source, str(tmp_path / "o.jsonl"), step)
    assert tally.kept == 1 and dict(tally.drops) == {("length", "short"): 1, ("read", "not_json"): 1}
    assert [row["instruction"] for row in rows(tmp_path / "o.jsonl")] == ["Name a river."] * 2
    short, broken = rows(tmp_path / "o.rejected.jsonl")
    assert list(short) == ["place", "stage", "reason", "detail", "words", "record"] and short["words"] == 1
    assert short["place"].endswith("a.jsonl:2") and short["record"]["instruction"] == "Sort."
    assert broken["stage"] == "read" and broken["text"] == "broken" and broken["place"].endswith("a.jsonl:3")
    assert json.loads((tmp_path / "o.report.json").read_text()) == {"kept": 1}
    assert max(step.seen) <= batch


def test_an_error_leaves_the_old_files_and_no_partial_ones(tmp_path, source):
    for name in FILES:
        (tmp_path / name).write_text("old")

    class Failing(_LongOnly):
        def apply_to(self, row):
            if row[1].instruction == "Sort.":
                raise OSError("the disk failed")
            return super().apply_to(row)

    with pytest.raises(OSError, match="the disk failed"):
        run_step(source, str(tmp_path / "o.jsonl"), Failing())
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.name != "a.jsonl"} == dict.fromkeys(
        FILES, "old"
    )


def test_no_empty_rejected_file_is_written_and_stale_one_is_removed(tmp_path, source):
    class All(_LongOnly):
        def apply_to(self, row):
            return Result([row[0].raw])

    output, beside = tmp_path / "o.jsonl", tmp_path / "o.rejected.jsonl"
    run_step(source, str(output), _LongOnly())
    assert written_files(OutputPaths(output)) == FILES and len(rows(beside)) == 2
    Path(source.path).write_text(lines({"instruction": "Name a river."}, {"instruction": "Sort."}))
    run_step(source, str(output), All())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "o.jsonl", "o.report.json"]
    assert written_files(OutputPaths(output)) == ["o.jsonl", "o.report.json"]
    run_step(source, str(output), _LongOnly())
    assert [row["reason"] for row in rows(beside)] == ["short"]


def test_unreadable_source_leaves_no_files(tmp_path):
    with pytest.raises(UserError, match="IN "):
        run_step(Source(str(tmp_path / "none.jsonl")), str(tmp_path / "o.jsonl"), _LongOnly())
    assert list(tmp_path.iterdir()) == []


def test_without_an_output_only_the_report_is_written(tmp_path, source):
    assert run_step(source, None, _LongOnly(), str(tmp_path / "r.json")).total == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "r.json"]


def test_rejected_rows_are_logged_if_the_output_is_a_pipe(source, capfdbinary, caplog):
    run_step(source, "-", _LongOnly())
    assert capfdbinary.readouterr().out.count(b"\n") == 2
    assert caplog.messages[0].endswith(": Sort.")


def test_rejected_record_is_written_unchanged():
    reject = Reject("a:1", Drop("s", "r", "d"), {"nearest": None}, {"id": "x"}, b'{"a":1,  "b": 2}')
    assert reject.line() == (
        b'{"id": "x", "place": "a:1", "stage": "s", "reason": "r", "detail": "d", "nearest": null, '
        b'"record": {"a":1,  "b": 2}}\n'
    )
