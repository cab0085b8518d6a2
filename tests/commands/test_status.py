"""The status command on finished, running and killed runs."""

import json
import sys
import time
from types import SimpleNamespace

import pytest

from self_instruct.commands import status
from self_instruct.errors import UserError
from self_instruct.runs.journal import Journal
from tests.support.runs import generate, run, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has reached its target."""
    folder = tmp_path_factory.mktemp("finished")
    assert generate(*scripted(write_script(folder / "script.jsonl", 60), folder / "run", 30)).returncode == 0
    return folder / "run"


def status_of(capsys, folder, *options):
    assert status.main([str(folder), *options]) == 0
    return capsys.readouterr().out


def test_status_of_a_finished_run_changes_no_file(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    result = run(sys.executable, "-m", "self_instruct.status", finished, "--watch")
    assert (result.returncode, result.stderr) == (0, "")
    assert "stopped: all 30 records are accepted" in result.stdout
    assert "accepted 30/30 (100%)" in result.stdout and "novelty            rouge_l" in result.stdout
    assert "--num_instructions_to_generate" in result.stdout and "ETA" not in result.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.fixture
def now(monkeypatch):
    """The time that the command reads, so that the ages of what a test writes do not depend on its own speed."""
    moment = float(int(time.time()))
    monkeypatch.setattr("self_instruct.report.watch.time", SimpleNamespace(time=lambda: moment, sleep=time.sleep))
    return moment


def test_status_of_a_running_run_shows_its_process_speed_and_time_left(finished, tmp_path, capsys, now):
    created = time.strftime('"created_at": "%Y-%m-%dT%H:%M:%SZ"', time.gmtime(now - 60))
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl", "completions.jsonl"):
        text = (finished / name).read_text().replace('"created_at": null', created)
        (tmp_path / name).write_text(text + ('{"half' if name[0] == "r" else ""))
    described = (finished / "run.yaml").read_text().replace("_to_generate: 30", "_to_generate: 60")
    (tmp_path / "run.yaml").write_text(described)
    (tmp_path / "logs").mkdir()
    error = {
        "time": "2026-01-01T00:00:00.000Z",
        "level": "error",
        "rank": 1,
        "host": "b",
        "message": "Traceback\nOutOfMemory",
    }
    beat = {"time": "2026-01-01T00:00:01.000Z", "level": "info", "event": "heartbeat", "in_flight": 5}
    (tmp_path / "logs/rank-0.jsonl").write_text(json.dumps(error) + "\n" + json.dumps(beat) + "\n")
    journal = Journal(tmp_path)
    try:
        found, shown = json.loads(status_of(capsys, tmp_path, "--json")), status_of(capsys, tmp_path)
    finally:
        journal.close()
    assert (found["state"], found["accepted"], found["target"], found["in_flight"]) == ("running", 30, 60, 5)
    assert found["holder"]["runs"] is True and found["damaged_lines"] == 0 and found["drops"]["novelty"]["rouge_l"] > 0
    assert (found["records_per_minute"], found["seconds_left"]) == (30, 60)
    assert "running, process" in shown and "accepted 30/60 (50%)" in shown and "5 rows in flight" in shown
    assert "2026-01-01T00:00:00.000Z rank 1 on b: OutOfMemory" in shown and "--watch" in shown


def test_a_killed_run_is_distinguished_from_a_stopped_one(finished, tmp_path, capsys):
    (tmp_path / "completions.jsonl").write_bytes((finished / "completions.jsonl").read_bytes()[:-20])
    shown = status_of(capsys, tmp_path)
    assert "did not record why it ended" in shown and "accepted 0/?" in shown and "go on: the same command" in shown


def test_a_process_on_another_machine_counts_as_running_while_it_sends_heartbeats(finished, tmp_path, capsys, now):
    for name in ("completions.jsonl", "run.yaml"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "completions.jsonl.lock").write_text('{"host": "node7", "pid": 41}')
    assert "held by process 41 on node7, which cannot be checked from here" in status_of(capsys, tmp_path)
    (tmp_path / "logs").mkdir()
    beat = {"time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now)), "event": "heartbeat", "in_flight": 8}
    (tmp_path / "logs/rank-0.jsonl").write_text(json.dumps(beat) + "\n")
    assert "running, process 41 on node7" in status_of(capsys, tmp_path)


def test_a_directory_without_a_run_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "none", tmp_path / "logs"):
        with pytest.raises(UserError, match=r"holds no completions.jsonl; give the --batch_dir of a generation run"):
            status.main([str(place)])
