"""Kill commands, or simulate power failures, and compare the final files with those of an undisturbed command.

A `Series` is a command that writes below `out` in its working directory. It is killed up to four times in a row and then runs
to its end. After each kill the directory may be moved or copied.
"""

import json
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.boundaries import LIST, RECORD
from tests.support.copies import Copies, Copy
from tests.support.crashes import ACCEPTED, BOUNDARIES, JOURNAL, MOMENT, REJECTED, Kill, check_partition, whole_lines
from tests.support.ports import free_port
from tests.support.power import failed, recorded, restore
from tests.support.runs import SECONDS, environment, rank_variables

HERE, MOVED, COPIED = "", "moved", "copied"
IN_A_ROW = 4  # kills before a command may finish
_VARIES = re.compile(rb'"(?:created_at|rank|seconds)": (?:"[^"]*"|[\d.]+|null),? ?')
_JOURNALS = (
    JOURNAL, "self_consistency.jsonl", "out.judgements.jsonl", "out.tests.jsonl", f"topics.txt.run/{JOURNAL}",
    "executions.jsonl", "answer_scores.jsonl", "out.scores.jsonl", f"given/{JOURNAL}", f"given-task/{JOURNAL}",
    f"given-question/{JOURNAL}",
)  # fmt: skip


@dataclass(frozen=True)
class Series:
    """A command to kill: a script and its arguments, run in a new directory with this number of ranks.

    `exact` says that every run writes the same bytes. If not, the number of completions beyond the target varies, so only the
    accepted and rejected candidates are compared, without times and ranks. `start` fills the directory; `way` says whether it
    is moved or copied after a kill.
    """

    name: str
    command: Sequence[object]
    ranks: int = 1
    exact: bool = True
    way: str = HERE
    start: Callable[[Path], object] = field(default=lambda folder: None)

    @property
    def title(self) -> str:
        """The name, and whether the directory is moved or copied."""
        return f"{self.name}, directory {self.way}" if self.way else self.name


class Victim:
    """Runs the command of a series in forks of a loaded process, one for each rank."""

    def __init__(self, folder: Path, series: Series, server: Copies, seed: int = 0) -> None:
        self.folder, self.series, self.rng = folder, series, random.Random(f"{series.title} {seed}")
        self._server = server
        self.here = folder / "here"
        self._moves = 0
        self._empty()
        begun = time.monotonic()
        assert self.launch(LIST) == 0, self.said
        self._lasts = time.monotonic() - begun
        self.reference = self.contents()
        self._has_journal = any((self.out / name).exists() for name in _JOURNALS)
        points = (self.here / "out.boundaries").read_text().splitlines()
        self.points = [point for at, point in enumerate(points) if at == 0 or not point.endswith(":before")]
        assert not self.left(), self.left()

    @property
    def out(self) -> Path:
        """The directory of the command's files."""
        return self.here / "out"

    def _empty(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.here = self.folder / "here"
        self.here.mkdir(parents=True)
        self.series.start(self.here)
        self._writes_run = not (self.out / JOURNAL).exists()

    def launch(self, place: str = "", watched: str = "out") -> int:
        """Run the command to its end or its kill, and return the exit code of rank 0."""
        copies = self._started(place, watched)
        if place == MOMENT:
            time.sleep(self.rng.uniform(0, self._lasts))
            self.rng.choice(copies).kill()
        else:
            copies[0].poll(SECONDS)
        if copies[0].poll() != 0:
            for copy in copies:  # a launcher ends all ranks with the first
                copy.kill()
        self.said = "".join("".join(copy.communicate(SECONDS)) for copy in copies)
        return int(copies[0].returncode or 0)

    def _started(self, place: str, watched: str) -> list[Copy]:
        script, *arguments = map(str, self.series.command)
        ranks, port, copies = self.series.ranks, free_port(), []
        for rank in range(ranks):
            about = rank_variables(rank, ranks, port) if ranks > 1 else {}
            place_of = "" if rank or place == MOMENT else place
            command = [str(BOUNDARIES), watched, place_of, str(int(signal.SIGKILL)), script, *arguments]
            copies.append(self._server.start(command, self.here, environment(SOURCE_DATE_EPOCH="1750000000", **about)))
        return copies

    def contents(self) -> dict[str, bytes]:
        """Return the contents of the command's files by path, without logs and caches, and without what may vary."""
        found = {}
        for path in sorted(self.out.rglob("*")):
            name = str(path.relative_to(self.out))
            if path.is_dir() or "logs/" in name or path.name.endswith((".part", ".lock", ".cache")):
                continue
            content = path.read_bytes().replace(bytes(self.here), b"HERE")
            if not self.series.exact:
                if name not in (ACCEPTED, REJECTED, "out.jsonl"):
                    continue
                lines = _VARIES.sub(b"", content).splitlines(True)
                content = b"".join(line for line in lines if b'"stage": "limit"' not in line)
            found[name] = content
        return found

    def left(self) -> list[str]:
        """Return the names of unfinished files and locks in the directory."""
        return [path.name for path in self.out.rglob("*") if path.name.endswith((".part", ".lock"))]

    def journalled(self) -> list[bytes]:
        """Return the complete lines of the command's journals."""
        return [line for name in _JOURNALS for line in whole_lines(self.out, name)]

    def _torn(self) -> int:
        """Return how many files of a command without a journal are there but differ from those of a finished command."""
        if self._has_journal:
            return 0
        return sum(content != self.reference.get(name) for name, content in self.contents().items())

    def _doubled(self) -> int:
        """Return how many requests are in the journal that the command writes twice. Fail if an exact run does not account for
        every candidate.
        """
        lines = whole_lines(self.out) if self._writes_run else []
        if lines and self.series.exact:
            check_partition(self.out)
        return len(lines) - len({json.loads(line)["request"] for line in lines})

    def _carry(self) -> None:
        """Move or copy the directory, as the series says."""
        if not self.series.way:
            return
        self._moves += 1
        there = self.folder / f"there-{self._moves}"
        if self.series.way == MOVED:
            self.here.rename(there)
        else:
            shutil.copytree(self.here, there)
            shutil.rmtree(self.here)
        self.here = there

    def kills(self, number: int) -> Iterator[tuple[Kill, int]]:
        """Kill the command this many times; yield each kill with the number of unfinished files at the end."""
        plan = [*self.rng.sample(self.points, len(self.points)), *[MOMENT] * (len(self.points) // 3 + 1)]
        waiting: list[str] = []
        while number > 0:
            self._empty()
            found, torn = [], 0
            for _ in range(IN_A_ROW * 2):
                waiting = waiting or self.rng.sample(plan, len(plan))
                place = waiting.pop()
                code = self.launch(place)
                if code == 0 or len(found) == min(IN_A_ROW, number):
                    break
                assert code == -signal.SIGKILL or place == MOMENT, f"{place}: {code}\n{self.said}"
                found.append((place, self.journalled()))
                torn += self._torn()
                self._carry()
                if len(found) == min(IN_A_ROW, number):
                    break
            if found:
                number -= len(found)
                yield from self._finished(found, torn)

    def _finished(self, found: list[tuple[str, list[bytes]]], torn: int) -> Iterator[tuple[Kill, int]]:
        """Let the command finish, and yield its kills."""
        code = self.launch()
        final, last = self.contents(), Counter(self.journalled())
        missing, extra = differences(self.reference, final)
        extra += self._doubled()
        identical = code == 0 and final == self.reference
        for at, (place, lines) in enumerate(found):
            lost = (Counter(lines) - last).total() + (missing + torn if at == 0 else 0)
            yield Kill(place, lost, extra if at == 0 else 0, identical), len(self.left()) if at == 0 else 0

    def failures(self, number: int, mode: str) -> Iterator[tuple[Kill, int]]:
        """Simulate this many power failures, each after a random operation or (every tenth) the last, and continue the command.

        A journal line counts as lost if it was synced and did not survive. After the last operation, so does any line of the
        final files.
        """
        self._empty()
        assert self.launch(RECORD, ".") == 0, self.said
        operations = recorded(self.folder / "here.recorded")
        (self.folder / "here.recorded").rename(self.folder.with_suffix(".recorded"))
        for at in range(number):
            self._empty()
            after = len(operations) if at % 10 == 0 else self.rng.randint(1, len(operations))
            survivors, synced = failed(self.here, operations, after, self.rng, mode)
            self._erase()
            restore(self.here, survivors)
            held = set(self.journalled())
            promised = [
                line for name in _JOURNALS for line in synced.get(f"out/{name}", b"").split(b"\n")[:-1] if line
            ]
            lost = sum(line not in held for line in promised)
            if after == len(operations):
                lost += differences(self.reference, self.contents())[0]
            code = self.launch()
            final = self.contents()
            missing, extra = differences(self.reference, final)
            place = f"operation {after} of {len(operations)}"
            yield Kill(place, lost + missing, extra, code == 0 and final == self.reference), len(self.left())

    def _erase(self) -> None:
        shutil.rmtree(self.here)
        self.here.mkdir()


def differences(expected: dict[str, bytes], found: dict[str, bytes]) -> tuple[int, int]:
    """Return how many lines of the files are missing, and how many are extra."""
    missing = extra = 0
    for name in {*expected, *found}:
        before, after = (Counter(files.get(name, b"").splitlines()) for files in (expected, found))
        missing, extra = missing + (before - after).total(), extra + (after - before).total()
    return missing, extra
