"""Killed runs lose no completion, and end with the same bytes as an undisturbed run.

`benchmarks/crashes.py` runs more kills.
"""

import shutil
import signal

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
