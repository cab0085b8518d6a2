"""A run directory has one writer at a time, even on file systems without locks."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from self_instruct.errors import UserError
from self_instruct.runs.journal import Journal, read_journal
from self_instruct.runs.lock import Holder, Lock, open_alone
from tests.runs.test_journal import entry
from tests.support.runs import ROOT

NAME = "completions.jsonl.lock"
HOST = socket.gethostname()


def holder(path, **changes):
    """Write a lock file that names a process, as another launch would leave it."""
    known = {"host": HOST, "pid": os.getpid(), "since": "2026-01-02T03:04:05Z", "token": "other", **changes}
    path.write_text(json.dumps(known) + "\n")


def gone() -> int:
    """Return the process id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def without_locks(monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_the_lock_file_names_its_holder_and_is_removed_on_release(tmp_path):
    lock = Lock(tmp_path / NAME)
    found = Holder.of(tmp_path / NAME)
    assert (found.host, found.pid) == (HOST, os.getpid()) and str(found).startswith(f"process {os.getpid()} on {HOST}")
    lock.check()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_can_be_taken_and_is_reported(tmp_path, caplog):
    code = "import pathlib, sys, time; from self_instruct.runs.lock import Lock\n"
    code += f"lock = Lock(pathlib.Path({str(tmp_path / NAME)!r})); print(flush=True); time.sleep(1000)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(
        UserError, match=rf"another launch is writing to it \(process {process.pid} on {HOST}, since 2"
    ):
        Lock(tmp_path / NAME)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lock = Lock(tmp_path / NAME)
    assert f"was left by process {process.pid} on {HOST}, since" in caplog.text and "was killed or lost" in caplog.text
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"host": "node7"}, "process 7 on node7, since .* the file server frees the lock within minutes"),
        ({}, "that process has ended, but a process that it started still has"),
    ],
)
def test_a_refusal_states_the_possible_cause(tmp_path, changes, expected):
    lock = Lock(tmp_path / NAME)
    holder(tmp_path / NAME, **{"pid": 7 if changes else gone(), **changes})
    with pytest.raises(UserError, match=expected):
        Lock(tmp_path / NAME)
    lock.release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"3", b"[]", b'{"host": "x"}', b"\x00" * 40])
def test_a_lock_file_without_a_holder_can_be_taken(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    lock = Lock(tmp_path / NAME)
    with pytest.raises(UserError, match="another launch is writing to it"):
        Lock(tmp_path / NAME)
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_the_holder_in_the_file_counts(tmp_path, without_locks):
    for changes in ({"host": "node7"}, {}):
        holder(tmp_path / NAME, **changes)
        before = (tmp_path / NAME).read_bytes()
        with pytest.raises(UserError, match=rf"this file system has no locks.*remove {tmp_path / NAME}, else wait"):
            Lock(tmp_path / NAME)
        assert (tmp_path / NAME).read_bytes() == before


def test_without_locks_an_ended_process_of_this_machine_does_not_hold_the_lock(tmp_path, without_locks, caplog):
    holder(tmp_path / NAME, pid=gone())
    lock = Lock(tmp_path / NAME)
    assert "was killed or lost" in caplog.text
    lock.check()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_launch_whose_lock_was_taken_ends_and_keeps_its_journal(tmp_path):
    journal = Journal(tmp_path)
    holder(tmp_path / NAME, host="node7")  # as if the locks of node7 were not visible on this machine
    with pytest.raises(OSError, match=r"another launch \(process \d+ on node7, since .* has started to write there"):
        journal.append([entry(0)])
    journal.close()
    assert [item.request for item in read_journal(tmp_path)] == [0] and (tmp_path / NAME).exists()


def test_a_file_can_be_written_on_a_file_system_without_locks(without_locks, tmp_path):
    with open_alone(tmp_path / "file") as file:
        file.write(b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("pid", [[], 10**30, "x", None])
def test_a_holder_with_an_impossible_process_id_counts_as_running(tmp_path, pid):
    holder(tmp_path / "lock", pid=pid)
    found = Holder.of(tmp_path / "lock")
    assert found is not None and found.runs
