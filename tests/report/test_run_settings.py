"""The options of a run in the header of its report."""

import json
import shutil

import pytest

from self_instruct.report.candidates import read_run
from self_instruct.report.inputs import read_inputs
from self_instruct.report.run_settings import file_settings, run_settings, thresholds_text
from tests.support.runs import generate, rows, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("settings")
    made = generate(*scripted(write_script(place / "script.jsonl", 40), place / "run", 20), "--seed", 11)
    assert made.returncode == 0, made.stderr
    return place / "run"


def test_settings_of_a_run_name_its_options_dates_and_version(folder):
    settings = dict(run_settings(read_run(folder)))
    assert settings["engine"] == "scripted"
    assert settings["sampling"].startswith("temperature 0.8, top_p 0.95, max_new_tokens 1024")
    assert settings["thresholds"] == "ROUGE-L 0.6"
    assert settings["seed tasks"].startswith("seeds/code.jsonl (sha256 ")
    assert (settings["random seed"], settings["target"]) == ("11", "20 records")
    assert settings["version"].startswith("self_instruct ") and "torch" in settings["version"]
    assert "first completion" not in settings  # scripted completions have no date
    assert read_inputs([str(folder)])[0].settings == list(settings.items())


def write_rows(path, changed):
    path.write_text("".join(json.dumps(row) + "\n" for row in changed))


def test_dates_come_from_the_journal(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    entries = rows(copy / "completions.jsonl")
    for second, entry in enumerate(entries):
        entry["created_at"] = f"2026-01-02T03:04:{second:02d}Z"
    write_rows(copy / "completions.jsonl", reversed(entries))
    settings = dict(run_settings(read_run(copy)))
    assert settings["first completion"] == "2026-01-02 03:04:00 UTC"
    assert settings["last completion"] == f"2026-01-02 03:04:{len(entries) - 1:02d} UTC"


def test_dates_without_a_journal_come_from_the_records(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "completions.jsonl").unlink()
    shutil.rmtree(copy / "logs")
    path = copy / "machine_generated_instructions.jsonl"
    changed = rows(path)
    for row in changed:
        row["provenance"]["created_at"] = "2026-01-02T03:04:05Z"
    write_rows(path, changed)
    settings = dict(run_settings(read_run(copy)))
    assert settings["first completion"] == settings["last completion"] == "2026-01-02 03:04:05 UTC"
    assert "self_instruct" not in settings["version"]


@pytest.mark.parametrize("moment", [None, 3, "<script>", "2026-01-01", {"a": 1}])
def test_malformed_dates_are_left_out(folder, tmp_path, moment):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "completions.jsonl").unlink()
    path = copy / "machine_generated_instructions.jsonl"
    changed = rows(path)
    for row in changed:
        row["provenance"]["created_at"] = moment
    write_rows(path, changed)
    assert "first completion" not in dict(run_settings(read_run(copy)))


def test_thresholds_of_a_file_are_stated():
    options = {"rouge_threshold": 0.7, "embedding_threshold": 0.9, "embedding_model_name_or_path": "/a/b/c"}
    assert thresholds_text(options) == "ROUGE-L 0.7, cosine 0.9 by c"
    assert file_settings(options) == [("thresholds", "ROUGE-L 0.7, cosine 0.9 by c")]
    assert file_settings({}) == []
