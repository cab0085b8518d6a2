"""Kill the real launch command at write boundaries and at random moments.

A launch is killed and relaunched in the same directory several times, then left to finish; then the directory is
compared with that of an undisturbed run. The engine replays a script, so every byte must be the same.
"""

import json
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
    """A kill: its boundary, how many journalled completions were lost or doubled, and whether all files finally
    equalled those of an undisturbed run.
    """

    place: str
    lost: int
    doubled: int
    identical: bool


class Crashes:
    """Run and kill launches, one after another in one directory, because run.yaml names it; each run is then moved
    aside.
    """

    def __init__(self, folder: Path, target: int, seed: int = 0) -> None:
        self.folder, self.target, self.rng = folder, target, random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.script = write_script(folder / "script.jsonl", 2 * target)
        self.here = folder / "here"
        self.here.mkdir()
        assert self.launch(LIST) == 0, self.output()
        self.reference = self.lay_aside("reference")
        check_partition(self.reference)

    def command(self, place: str, number: int = signal.SIGKILL) -> list[str]:
        """Return the arguments of `tests.support.boundaries.watched` for a launch with a signal at a boundary."""
        return ["run", place, str(int(number)), str(IO), *map(str, scripted(self.script, Path("run"), self.target))]

    def output(self) -> str:
        """Return the output of the launches in this directory."""
        return (self.here / "said").read_text()

    def lay_aside(self, name: str) -> Path:
        """Move the current run aside, and return its new directory."""
        self.here.rename(self.folder / name)
        self.here.mkdir()
        return self.folder / name / "run"

    def launch(self, place: str = "", number: int = signal.SIGKILL) -> int:
        """Launch in a new process, and return the exit code."""
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

    def killed(self, name: str, points: Sequence[str]) -> list[Kill]:
        """Kill a run at these boundaries, one after another. Boundaries that no launch reached are left out."""
        found = []
        for place in points:
            if self.launch(place) == -signal.SIGKILL:
                found.append((place, whole_lines(self.here / "run")))
        assert self.launch() == 0, self.output()
        return judged(found, self.lay_aside(name), self.reference)

    def points(self, kills: int) -> list[str]:
        """Return this many boundaries: each kind equally often, and one sixth random moments."""
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
        """Kill runs this many times, each up to `together` times in a row."""
        waiting, number = self.points(kills), 0
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
    """Return the kills of a finished run, given the journal's lines after each."""
    last, identical = whole_lines(folder), contents(folder) == contents(reference)
    check_partition(folder)
    requests = [json.loads(line)["request"] for line in last]
    doubled = len(requests) - len(set(requests))
    return [Kill(place, len(set(lines) - set(last)), doubled, identical) for place, lines in found]


def whole_lines(folder: Path, name: str = JOURNAL) -> list[bytes]:
    """Return the complete lines of a run's journal."""
    path = folder / name
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a run directory except its logs, which contain times."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def check_partition(folder: Path) -> None:
    """Assert that every candidate is accepted or rejected, none is both, and all belong to the journal's completions."""
    accepted = [row["provenance"]["id"] for row in rows(folder / ACCEPTED)]
    rejected = [row["id"] for row in rows(folder / REJECTED)]
    assert len({*accepted, *rejected}) == len(accepted) + len(rejected)
    judged_requests = {int(name.split("-")[0]) for name in (*accepted, *rejected)}
    assert judged_requests == {row["request"] for row in rows(folder / JOURNAL)}
    blocks = json.loads((folder / "report.json").read_text())["blocks"]
    assert blocks == len(accepted) + len(rejected)


class Forks(Crashes):
    """The same with faster launches: each runs in a fork of a loaded process."""

    def launch(self, place: str = "", number: int = signal.SIGKILL) -> int:
        """Launch in a new process, and return the exit code."""
        result = run(sys.executable, BOUNDARIES, *self.command(place, number), cwd=self.here)
        with (self.here / "said").open("a") as said:
            said.write(result.stdout + result.stderr)
        return result.returncode

    def boundaries(self) -> list[str]:
        """Return every write boundary of the undisturbed run; the time before a write is that after the previous one."""
        points = (self.reference.parent / "run.boundaries").read_text().splitlines()
        return [place for at, place in enumerate(points) if at == 0 or not place.endswith(":before")]

    def clear(self) -> None:
        """Empty the directory."""
        shutil.rmtree(self.here)
        self.here.mkdir()

    def begin(self, requests: int) -> None:
        """Put a run into the directory that was stopped after this many requests."""
        shutil.copytree(self.reference, self.here / "run")
        lines = whole_lines(self.reference)[:requests]
        (self.here / "run" / JOURNAL).write_bytes(b"".join(line + b"\n" for line in lines))


def table(kills: Sequence[Kill]) -> str:
    """Format the kills by written file, and in total."""
    names = [*KINDS, MOMENT]
    by_name = {name: [kill for kill in kills if kill.place.split(":")[0] == name] for name in names}
    lines = [f"{'killed at':<40} {'kills':>6} {'points':>7} {'lost':>5} {'doubled':>8}  byte-identical"]
    for name, found in [*by_name.items(), ("all", list(kills))]:
        points = len({kill.place for kill in found})
        lost, doubled = sum(kill.lost for kill in found), sum(kill.doubled for kill in found)
        same = "yes" if all(kill.identical for kill in found) else "NO"
        lines.append(f"{name:<40} {len(found):>6} {points:>7} {lost:>5} {doubled:>8}  {same if found else '-'}")
    return "\n".join(lines)
