"""Files are replaced atomically, and failed writes leave no partial data."""

import os
import resource
import shutil
from contextlib import closing

import pytest

from self_instruct.errors import UserError
from self_instruct.runs.files import NewFile, put
from self_instruct.runs.journal import Journal, read_journal
from tests.runs.test_journal import entry


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.json"
    put(path, b"old, and longer")
    with path.open("rb") as reader:
        put(path, b"new")
        assert reader.read() == b"old, and longer"
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["report.json"]


def test_names_of_new_directories_are_synced_before_a_file_in_them(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")) or sync(number)
    )
    Journal(tmp_path / "a" / "run").close()
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "run")} <= set(synced)
    synced.clear()
    (tmp_path / "there").mkdir()  # another rank of the same launch may have just created it
    with closing(NewFile(tmp_path / "there" / "out.jsonl")) as file:
        file.write(b"x")
        assert str(tmp_path) in synced
        file.publish()
    assert [path for path in synced if "out" in path] == [str(tmp_path / "there" / "out.jsonl.part")]
    assert synced[-1] == str(tmp_path / "there")


def test_a_failed_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "report.json"
    put(path, b"old")
    (tmp_path / "report.json.part").mkdir()
    with pytest.raises(OSError, match=r"report\.json\.part"):
        put(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_failed_write_leaves_no_partial_file(tmp_path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        with pytest.raises(OSError, match="File too large"):
            put(tmp_path / "report.json", b"x" * 5000)
        journal = Journal(tmp_path / "run")
        journal.append([entry(0)])
        with pytest.raises(OSError, match=r"File too large: .*completions\.jsonl"):
            journal.append([entry(1, "x" * 5000)])
        journal.append([entry(2)])
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert [item.request for item in read_journal(tmp_path / "run")] == [0, 2]
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["completions.jsonl"]


@pytest.mark.parametrize("moved", [True, False])
def test_a_directory_that_is_moved_or_removed_during_a_launch_is_reported(tmp_path, moved):
    journal = Journal(tmp_path / "run")
    journal.append([entry(0)])
    if moved:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(tmp_path / "run")
    with pytest.raises(OSError, match=r"was moved or removed while the launch was writing to it.*completions\.jsonl"):
        journal.append([entry(1)])
    journal.close()
    if moved:
        assert [item.request for item in read_journal(tmp_path / "elsewhere")] == [0, 1]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_pipe_device_or_directory_in_place_of_the_journal_is_refused(tmp_path, make):
    make(tmp_path / "completions.jsonl")
    with pytest.raises(UserError, match=r"completions\.jsonl: is not a regular file; move it away"):
        Journal(tmp_path)
    with pytest.raises(UserError):
        read_journal(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/null", path)])
@pytest.mark.parametrize("write", [NewFile, lambda path: put(path, b"x")])
def test_a_pipe_device_or_directory_is_not_replaced_by_an_output(tmp_path, make, write):
    path = tmp_path / "out.jsonl"
    make(path)
    before = path.lstat()
    with pytest.raises(UserError, match=r"out\.jsonl: .*(is not a regular file|is a directory)"):
        write(path)
    assert path.lstat() == before and os.listdir(tmp_path) == ["out.jsonl"]
