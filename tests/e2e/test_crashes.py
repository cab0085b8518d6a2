"""Killed runs lose no completion, and end with the same bytes as an undisturbed run.

`benchmarks/crashes.py` runs more kills.
"""

import random
import shutil
import signal
from base64 import b64encode

import pytest

from tests.support.crashes import (
    ACCEPTED,
    JOURNAL,
    KINDS,
    MOMENT,
    REJECTED,
    Crashes,
    Forks,
    contents,
    judged,
    table,
    whole_lines,
)  # fmt: skip
from tests.support.power import ORDERED, REORDERED, failed


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    return Forks(tmp_path_factory.mktemp("crashes") / "forks", 8)


def test_a_kill_in_every_file_and_at_a_random_moment_of_the_real_command_loses_nothing(tmp_path):
    kills = list(Crashes(tmp_path / "runs", 60, seed=1).run(6))
    assert len(kills) == 6 and {kill.place.split(":")[0] for kill in kills} == {*KINDS, MOMENT}
    faults = [kill for kill in kills if kill.lost or kill.doubled or not kill.identical]
    assert faults == [], table(kills)


def test_a_kill_at_every_write_boundary_loses_nothing(forks):
    points = forks.boundaries()
    for name in (JOURNAL, ACCEPTED, REJECTED, "run.yaml", "report.json"):
        assert {place.split(":")[3] for place in points if place.startswith(f"{name}:write")} == {"middle", "after"}
    assert len(points) > 25
    for at, place in enumerate(points):
        (kill,) = forks.killed(f"boundary-{at}", [place])
        assert (kill.lost, kill.doubled, kill.identical) == (0, 0, True), place


def test_a_kill_at_every_boundary_of_a_continued_run_loses_nothing(forks):
    points = [place for place in forks.boundaries() if place.split(":")[2] in "12"]
    for at, place in enumerate(points):
        forks.begin(2)
        struck = forks.launch(place) == -signal.SIGKILL
        lines = whole_lines(forks.here / "run")
        assert forks.launch() == 0, forks.output()
        (kill,) = judged([(place, lines)], forks.lay_aside(f"again-{at}"), forks.reference)
        assert (kill.lost, kill.doubled, kill.identical) == (0, 0, True), place
        assert struck, place


def test_the_harness_detects_lost_doubled_and_different_lines(forks, tmp_path):
    whole = whole_lines(forks.reference)
    run = shutil.copytree(forks.reference, tmp_path / "run")
    assert judged([("x", whole)], run, forks.reference)[0].identical
    (run / "run.yaml").write_bytes((run / "run.yaml").read_bytes() + b"\n")
    (run / JOURNAL).write_bytes(b"\n".join([*whole, whole[0], b""]))
    (kill,) = judged([("x", [*whole, b"another"])], run, forks.reference)
    assert (kill.lost, kill.doubled, kill.identical) == (1, 1, False)
    assert contents(run).keys() == contents(forks.reference).keys()


def test_only_synced_content_and_names_are_sure_to_survive_a_power_failure(tmp_path):
    operations = [
        ["mkdir", "out"], ["open", "out/a.part", True], ["write", "out/a.part", 0, b64encode(b"new").decode()],
        ["sync", "out/a.part"], ["replace", "out/a.part", "out/a"], ["sync_folder", "."], ["sync_folder", "out"],
        ["open", "out/a", False], ["write", "out/a", 3, b64encode(b"er").decode()],
    ]  # fmt: skip

    def survivors(after: int, mode: str) -> set[bytes | None]:
        """Return what `out/a` may hold: None if the file may be missing."""
        tries = (failed(tmp_path, operations, after, random.Random(seed), mode)[0] for seed in range(60))
        return {found.get("out/a") for found in tries}

    assert survivors(6, ORDERED) == survivors(6, REORDERED) == {None, b"new"}  # the rename is not synced yet
    assert survivors(7, ORDERED) == survivors(7, REORDERED) == {b"new"}
    assert survivors(9, ORDERED) >= {b"new", b"newer", b"newe", b"new\0\0"}
