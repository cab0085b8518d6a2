"""The status of a run while its files are written."""

import json
import os
import time

import pytest

from self_instruct.report.watch import GrowingFile, Watcher, holder, last_events, watch
from self_instruct.runs.files import put
from self_instruct.runs.journal import Journal
from tests.support.runs import generate, rows, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a run that has reached its target."""
    folder = tmp_path_factory.mktemp("finished")
    assert generate(*scripted(write_script(folder / "script.jsonl", 60), folder / "run", 30)).returncode == 0
    return folder / "run"


def test_counts_match_the_report_for_any_read_positions(finished, tmp_path):
    names = ("completions.jsonl", "machine_generated_instructions.jsonl", "rejected.jsonl")
    watcher = Watcher(tmp_path)
    for name in names:
        content = (finished / name).read_bytes()
        for begin in range(0, len(content), 3001):
            with (tmp_path / name).open("ab") as file:
                file.write(content[begin : begin + 3001])
            watcher.catch_up()
    report, found = json.loads((finished / "report.json").read_text()), watcher.funnel.as_dict("")
    asked = ("accepted", "blocks", "parsed", "yield", "drops")
    assert {name: found[name] for name in asked} == {name: report[name] for name in asked}
    assert watcher.damaged == 0
    assert found["tokens"]["completion"] == sum(row["completion_tokens"] for row in rows(finished / names[0]))


def test_watch_can_be_called_from_python(finished):
    [status] = watch(finished, every=60)
    assert (status.state, status.stopped, status.holder) == ("stopped", "all 30 records are accepted", None)
    plain = status.as_dict()
    assert plain["accepted"] == status.funnel.accepted == 30 and plain["yield"] == round(
        status.funnel.yield_of_written, 4
    )
    assert not {"yield_", "funnel", "options"} & json.loads(json.dumps(plain)).keys()


def test_completions_after_an_unanswered_request_are_not_decided_yet(finished, tmp_path):
    """Make the files of a run that was killed when request 3 had no completion but later ones had."""
    entries = [row for row in rows(finished / "completions.jsonl") if row["request"] != 3]
    (tmp_path / "completions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in entries))
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        kept = [row for row in rows(finished / name) if (row.get("provenance") or row)["request"] < 3]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in kept))
    [status] = watch(tmp_path)
    assert (status.state, status.decided, status.requests) == ("ended", 3, len(entries))
    assert status.decided_tokens == sum(row["completion_tokens"] for row in entries if row["request"] < 3)


def test_replaced_or_removed_file_is_read_from_the_start(tmp_path):
    path, seen = tmp_path / "a.jsonl", []
    file = GrowingFile(path, seen.clear, lambda row: seen.append(row["n"]))
    file.catch_up()
    path.write_text('{"n": 1}\n{"n": 2}\n{"n"')
    file.catch_up()
    assert seen == [1, 2]
    with path.open("a") as more:
        more.write(": 3}\nnonsense\n[1]\n{}\n\n")
    file.catch_up()
    assert seen == [1, 2, 3] and file.damaged == 3
    put(path, b'{"n": 9}\n')
    file.catch_up()
    assert seen == [9] and file.damaged == 0
    path.write_text("")
    file.catch_up()
    path.unlink()
    file.catch_up()
    assert seen == []


def test_first_completion_without_error_counts(tmp_path):
    lines = [
        {"request": 0, "finish_reason": reason, "prompt_tokens": 1, "completion_tokens": tokens, "created_at": None}
        for reason, tokens in (("error", 0), ("stop", 5), ("length", 7))
    ]
    (tmp_path / "completions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    watcher = Watcher(tmp_path)
    watcher.catch_up()
    assert watcher.funnel.completions == {"stop": 1} and watcher.funnel.completion_tokens == 5


def test_rates_cover_the_last_ten_minutes(tmp_path):
    now = time.time()

    def entry(request, ago):
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - ago))
        journal = {"request": request, "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 60}
        return {**journal, "created_at": moment}, {"provenance": {"created_at": moment}}

    pairs = [entry(0, 7200), entry(1, 120), entry(2, 60)]
    for at, name in enumerate(("completions.jsonl", "machine_generated_instructions.jsonl")):
        (tmp_path / name).write_text("".join(json.dumps(pair[at]) + "\n" for pair in pairs))
    watcher = Watcher(tmp_path)
    watcher.catch_up()
    records, tokens = watcher.recently(now)
    assert records == pytest.approx(1.0, abs=0.02) and tokens == pytest.approx(1.0, abs=0.02)
    assert watcher.recently(now + 3600) is None and watcher.funnel.accepted == 3


def test_holder_is_found_only_while_it_writes(tmp_path):
    assert holder(tmp_path, "completions.jsonl") is None
    journal = Journal(tmp_path)
    found = holder(tmp_path, "completions.jsonl")
    journal.close()
    assert found is not None and (found.pid, found.runs) == (os.getpid(), True)
    after = holder(tmp_path, "completions.jsonl")
    assert after is None or after.runs is False


@pytest.mark.parametrize(("host", "runs"), [("elsewhere", None), (os.uname().nodename, False)])
def test_lock_file_names_a_holder_on_another_host(tmp_path, host, runs):
    (tmp_path / "completions.jsonl.lock").write_text(json.dumps({"host": host, "pid": 77}))
    found = holder(tmp_path, "completions.jsonl")
    assert str(found) == f"process 77 on {host}" and found.runs is runs
    (tmp_path / "completions.jsonl.lock").write_text('{"host"')
    assert holder(tmp_path, "completions.jsonl") is None


@pytest.mark.parametrize(
    ("lock", "shown"),
    [('{"host": "node7", "pid": 77}', "process 77 on node7"), ("", "a process outside this container")],
)
def test_holder_in_another_container_is_named_by_its_lock_file(tmp_path, monkeypatch, lock, shown):
    monkeypatch.setattr("self_instruct.report.watch._locked_by", lambda path: 0)
    (tmp_path / "completions.jsonl.lock").write_text(lock)
    found = holder(tmp_path, "completions.jsonl")
    assert str(found).startswith(shown) and found.runs and "process 0" not in str(found)


def test_last_errors_of_all_ranks_are_sorted_by_time(tmp_path):
    (tmp_path / "logs").mkdir()
    for rank in (0, 1):
        events = [{"time": f"2026-01-01T00:00:{2 * at + rank:02d}.000Z", "level": "error", "message": f"{rank} {at}"} for at in range(4)]  # fmt: skip  # noqa: E501
        beat = {"time": "2026-01-01T00:01:00.000Z", "level": "info", "event": "heartbeat", "rank": rank}
        text = "".join(json.dumps(row) + "\n" for row in [*events, beat])
        (tmp_path / f"logs/rank-{rank}.jsonl").write_text(text + '{"half')
    errors, beat = last_events(tmp_path)
    assert [row["message"] for row in errors] == ["1 1", "0 2", "1 2", "0 3", "1 3"] and beat["rank"] == 0
