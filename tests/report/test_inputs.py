"""Reading the inputs of a report: runs and files with their dropped candidates, and refused inputs."""

import json
import shutil
from math import nan

import pytest

from self_instruct.errors import UserError
from self_instruct.report.inputs import read_inputs
from self_instruct.runs.run import load_run
from tests.support.commands import run_command
from tests.support.curation_runs import near_copies, written
from tests.support.report_files import hostile_file
from tests.support.runs import dataset, generate, rows, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources") / "run"
    made = generate(*scripted(write_script(folder.parent / "script.jsonl", 40), folder, 40))
    assert made.returncode == 0, made.stderr
    return folder


def test_a_missing_file_of_rejected_candidates_counts_as_empty(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "rejected.jsonl").unlink()
    [source] = read_inputs([str(folder)])
    assert len(source.rows) == 40 and source.drops == {}
    opened = load_run(folder)
    assert len(opened.records) == 40 and opened.rejected == []
    assert run_command(["explain", str(folder), opened.records[0].id]) == 0
    assert run_command(["status", str(folder)]) == 0
    assert "40" in capsys.readouterr().out
    again = generate(*scripted(run.parent / "script.jsonl", folder, 40))
    assert again.returncode == 0 and dataset(folder) == dataset(run)


def test_run_is_read_with_records_drops_and_funnel(run):
    [source] = read_inputs([str(run)])
    report = json.loads((run / "report.json").read_text())
    assert len(source.rows) == report["accepted"] == 40
    assert source.drops == {
        (stage, reason): n for stage, found in report["drops"].items() for reason, n in found.items()
    }
    assert source.funnel[0] == ("blocks written", report["blocks"])
    assert source.funnel[-1] == ("are new", 40)
    assert dict(source.funnel)["were checked"] == report["parsed"]
    assert source.thresholds == {"rouge": 0.6}
    first = rows(run / "machine_generated_instructions.jsonl")[0]
    assert (source.rows[0].record.id, source.rows[0].request) == (
        first["provenance"]["id"],
        first["provenance"]["request"],
    )
    near = first["provenance"]["most_similar"]
    assert (source.rows[0].nearest.id, source.rows[0].nearest.score) == (near["id"], near["score"])
    assert all(
        row.nearest.id in source.others or row.nearest.id in {r.record.id for r in source.rows} for row in source.rows
    )


def test_curated_file_is_read_with_its_rejected_file(tmp_path):
    from self_instruct.commands.curate import main

    path = written(tmp_path / "in.jsonl", *near_copies(60), b"no json\n")
    assert (
        main(["--input_path", str(path), "--output_path", str(tmp_path / "c.jsonl"), "--rouge_threshold", "0.5"]) == 3
    )
    [source] = read_inputs([str(tmp_path / "c.jsonl")])
    report = json.loads((tmp_path / "c.report.json").read_text())
    assert source.funnel[0] == ("lines", report["lines"])
    assert source.drops == {
        (stage, reason): n for stage, found in report["drops"].items() for reason, n in found.items()
    }
    assert source.thresholds == {"rouge": 0.5}
    near = next(item for item in source.dropped if item.reason == "rouge_l")
    assert near.nearest.score >= 0.5
    assert near.text.startswith(next(row for row in near_copies(60) if row["id"] == near.id)["instruction"])


def test_plain_file_names_its_lines_and_counts_the_broken_one(tmp_path):
    [source] = read_inputs([str(hostile_file(tmp_path / "h.jsonl"))])
    assert source.rows[0].record.id == "h.jsonl:1"
    assert [(item.stage, item.reason) for item in source.dropped] == [("read", "not_json")]
    assert {row.origin for row in source.rows} == {"<b>one</b>", "two"}
    assert source.rows[-1].category == "poems"


@pytest.mark.parametrize("about", [None, 3, [], {"category": 7, "source": {}, "most_similar": 5, "embedding_similarity": "x"},
                                   {"most_similar": {"id": "a"}}, {"most_similar": {"id": "a", "score": nan}}])  # fmt: skip
def test_malformed_provenance_is_ignored(tmp_path, about):
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x", "provenance": about})
    [source] = read_inputs([str(path)])
    assert (source.rows[0].category, source.rows[0].origin, source.rows[0].nearest, source.rows[0].cosine) == (
        None,
    ) * 4


def test_duplicate_ids_are_replaced_by_line_numbers(tmp_path):
    twice = [{"id": name, "instruction": f"Do something good {at}.", "output": "x"} for at, name in enumerate("aab")]
    [source] = read_inputs([str(written(tmp_path / "a.jsonl", *twice))])
    assert [row.record.id for row in source.rows] == ["a.jsonl:1", "a.jsonl:2", "b"]


def test_inputs_of_the_same_name_get_longer_names(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    found = read_inputs([str(tmp_path / name / "a.jsonl") for name in ("one", "two")])
    assert [source.name for source in found] == ["one/a.jsonl", "two/a.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "holds no row"),
        (b"[1, 2]\n", "none of 2 rows"),
        (b"\xff\xfe\n", "is UTF-16"),
    ],
)
def test_unusable_input_is_refused(tmp_path, content, message):
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"RUN_OR_FILE .*{message}"):
        read_inputs([str(path)])


def test_folder_without_a_run_and_duplicate_input_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.yaml"):
        read_inputs([str(tmp_path)])
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    with pytest.raises(UserError, match="given twice"):
        read_inputs([str(path), str(tmp_path / "." / "a.jsonl")])
