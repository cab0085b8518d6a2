"""Loops that end early, by a signal or a failing disk."""

import pytest

from self_instruct.runs.journal import read_journal
from self_instruct.runs.writer import Writer
from tests.generation.test_loop import Faulty, run_loop, script
from tests.support.runs import dataset

__all__ = ["script"]  # a fixture


def test_an_interruption_while_the_journal_is_replayed_leaves_the_files_as_they_are(script, tmp_path, monkeypatch):
    run_loop(script, tmp_path / "run")
    before = dataset(tmp_path / "run")
    monkeypatch.setattr("self_instruct.generation.loop.SIGNAL_GRACE_SECONDS", -1.0)
    stopping = iter([None] * 3)
    interrupted = {"interrupted": lambda: next(stopping, "SIGTERM was received")}
    loop, stopped = run_loop(script, tmp_path / "run", target=60, more=interrupted)
    assert stopped == "SIGTERM was received" and not loop.replayed and loop.funnel.requests == 3
    assert dataset(tmp_path / "run") == before
    run_loop(script, tmp_path / "run")
    assert dataset(tmp_path / "run") == before


def test_a_failing_disk_loses_no_finished_completion(script, tmp_path, monkeypatch):
    folder, write = tmp_path / "run", Writer.write

    def fail(self, entry, verdicts):
        if entry.request == 5:
            raise OSError(28, "No space left on device")
        write(self, entry, verdicts)

    monkeypatch.setattr(Writer, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        run_loop(script, folder, kind=Faulty)
    assert [entry.request for entry in read_journal(folder)] == list(range(8)), "two more completions had finished"
    monkeypatch.undo()
    run_loop(script, folder)
    run_loop(script, tmp_path / "whole")
    assert dataset(folder) == dataset(tmp_path / "whole")
