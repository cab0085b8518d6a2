"""Killing the real launch command, at write boundaries and at random moments, until nothing is left to be lost.

A launch is killed and relaunched in the same directory several times over, and at last left alone; then the directory is
compared with that of a run that nothing disturbed. The engine replays a script, so every byte has to be the same.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.boundaries import LIST
from tests.support.runs import IO, ROOT, environment, rows, run, scripted
from tests.support.scripts import write_script

JOURNAL, ACCEPTED, REJECTED = "completions.jsonl", "machine_generated_instructions.jsonl", "rejected.jsonl"
MOMENT = "a random moment"
BOUNDARIES = ROOT / "tests" / "support" / "boundaries.py"
_WRITES = [("write", "before"), ("write", "middle"), ("write", "after")]
_PUT = [*_WRITES, ("replace", "before"), ("replace", "after")]
KINDS = {
    JOURNAL: [*_WRITES, ("sync", "before"), ("sync", "after")],
    ACCEPTED: _PUT,
    REJECTED: _PUT,
    "run.yaml": _PUT,
    "report.json": _PUT,
}


@dataclass(frozen=True)
class Kill:
    """A kill: where, how many journalled completions were not there afterwards, how many stood twice, and whether all files
    were those of an undisturbed run in the end.
    """

    place: str
    lost: int
    doubled: int
    identical: bool


class Crashes:
    """Runs to be killed, one after another in the same place, which run.yaml names, and then laid aside under a name."""

    def __init__(self, folder: Path, target: int, seed: int = 0) -> None:
        self.folder, self.target, self.rng = folder, target, random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.script = write_script(folder / "script.jsonl", 2 * target)
        self.here = folder / "here"
        self.here.mkdir()
        assert self.launch(LIST) == 0, self.said()
        self.reference = self.lay_aside("reference")
        check_partition(self.reference)

    def command(self, place: str, number: int = signal.SIGKILL) -> list[str]:
        """A launch with a signal at a place: the arguments of `tests.support.boundaries.watched`."""
        return ["run", place, str(int(number)), str(IO), *map(str, scripted(self.script, Path("run"), self.target))]

    def said(self) -> str:
        """What the launches in this place have said."""
        return (self.here / "said").read_text()

    def lay_aside(self, name: str) -> Path:
        """Makes room for another run; where the directory of this one is now."""
        self.here.rename(self.folder / name)
        self.here.mkdir()
        return self.folder / name / "run"

    def launch(self, place: str = "", number: int = signal.SIGKILL) -> int:
        """A launch in a process of its own; its exit code."""
        process = self._start(place, number)
        if place == MOMENT:
            lock = self.here / "run" / f"{JOURNAL}.lock"
            while not lock.exists() and process.poll() is None:
                time.sleep(0.001)
            time.sleep(self.rng.uniform(0, 0.3))
            process.kill()
        return process.wait(timeout=600)

    def _start(self, place: str, number: int) -> subprocess.Popen:
        command = [sys.executable, "-P", BOUNDARIES, *self.command(place, number)]
        with (self.here / "said").open("ab") as said:
            return subprocess.Popen(
                list(map(str, command)), cwd=self.here, env=environment(), stdout=said, stderr=said
            )

    def killed(self, name: str, places: Sequence[str]) -> list[Kill]:
        """What came of killing a run at these places, one after another. Those that no launch came to are left out."""
        found = []
        for place in places:
            if self.launch(place) == -signal.SIGKILL:
                found.append((place, whole_lines(self.here / "run")))
        assert self.launch() == 0, self.said()
        return judged(found, self.lay_aside(name), self.reference)

    def places(self, kills: int) -> list[str]:
        """So many places: every kind of boundary as often as every other, and a sixth of them random moments."""
        by_file = [
            [f"{name}:{self._at(name, kind)}" for kind in self._shuffled(kinds)] for name, kinds in KINDS.items()
        ]
        turns = [group[turn] for turn in range(5) for group in by_file]
        moments = kills // 6
        return [turns[at % len(turns)] for at in range(kills - moments)] + [MOMENT] * moments

    def _at(self, name: str, kind: tuple[str, str]) -> str:
        often = {JOURNAL: (1, 5), ACCEPTED: (1, 5), REJECTED: (1, 5)} if kind[0] != "replace" else {}
        return f"{kind[0]}:{self.rng.randint(*often.get(name, (1, 1)))}:{kind[1]}"

    def _shuffled(self, kinds: list) -> list:
        return self.rng.sample(kinds, len(kinds))

    def run(self, kills: int, together: int = 6) -> Iterator[Kill]:
        """Kills runs so many times, each up to `together` times in a row."""
        waiting, number = self.places(kills), 0
        self.rng.shuffle(waiting)
        while waiting:
            # One that is killed while it writes its report has generated everything: that comes last.
            chain = sorted(waiting[:together], key=lambda place: place.startswith("report.json"))
            found = self.killed(f"killed-{number}", chain)
            for kill in found:
                waiting.remove(kill.place)
            self.rng.shuffle(waiting)
            number += 1
            yield from found


def judged(found: list[tuple[str, list[bytes]]], folder: Path, reference: Path) -> list[Kill]:
    """The kills of a run that has ended, given the lines that the journal had after each."""
    last, identical = whole_lines(folder), contents(folder) == contents(reference)
    check_partition(folder)
    requests = [json.loads(line)["request"] for line in last]
    doubled = len(requests) - len(set(requests))
    return [Kill(place, len(set(lines) - set(last)), doubled, identical) for place, lines in found]


def whole_lines(folder: Path) -> list[bytes]:
    """The whole lines of a run's journal."""
    path = folder / JOURNAL
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run directory, but for its logs, which tell the time."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def check_partition(folder: Path) -> None:
    """Every candidate is accepted or rejected, none is both, and the candidates are those of the journal's completions."""
    accepted = [row["provenance"]["id"] for row in rows(folder / ACCEPTED)]
    rejected = [row["id"] for row in rows(folder / REJECTED)]
    assert len({*accepted, *rejected}) == len(accepted) + len(rejected)
    judged_requests = {int(name.split("-")[0]) for name in (*accepted, *rejected)}
    assert judged_requests == {row["request"] for row in rows(folder / JOURNAL)}
    blocks = json.loads((folder / "report.json").read_text())["blocks"]
    assert blocks == len(accepted) + len(rejected)


class Forks(Crashes):
    """The same without starting Python anew: each launch is run by a copy of a loaded process."""

    def launch(self, place: str = "", number: int = signal.SIGKILL) -> int:
        """A launch in a process of its own; its exit code."""
        result = run(sys.executable, BOUNDARIES, *self.command(place, number), cwd=self.here)
        with (self.here / "said").open("a") as said:
            said.write(result.stdout + result.stderr)
        return result.returncode

    def boundaries(self) -> list[str]:
        """Every write boundary of the undisturbed run; before one is after the one before it."""
        places = (self.reference.parent / "run.boundaries").read_text().splitlines()
        return [place for at, place in enumerate(places) if at == 0 or not place.endswith(":before")]

    def clear(self) -> None:
        """Removes what is in this place."""
        shutil.rmtree(self.here)
        self.here.mkdir()

    def begin(self, requests: int) -> None:
        """Puts a run in place that was stopped after so many requests."""
        shutil.copytree(self.reference, self.here / "run")
        lines = whole_lines(self.reference)[:requests]
        (self.here / "run" / JOURNAL).write_bytes(b"".join(line + b"\n" for line in lines))


def table(kills: Sequence[Kill]) -> str:
    """The kills by the file that was being written, and all together."""
    names = [*KINDS, MOMENT]
    by_name = {name: [kill for kill in kills if kill.place.split(":")[0] == name] for name in names}
    lines = [f"{'killed at':<40} {'kills':>6} {'places':>7} {'lost':>5} {'doubled':>8}  byte-identical"]
    for name, found in [*by_name.items(), ("all", list(kills))]:
        places = len({kill.place for kill in found})
        lost, doubled = sum(kill.lost for kill in found), sum(kill.doubled for kill in found)
        same = "yes" if all(kill.identical for kill in found) else "NO"
        lines.append(f"{name:<40} {len(found):>6} {places:>7} {lost:>5} {doubled:>8}  {same if found else '-'}")
    return "\n".join(lines)


def benchmark(folder: Path, kills: int, seed: int) -> list[Kill]:
    """The long form: so many kills of launches in processes of their own."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return list(Crashes(folder, 80, seed).run(kills))
