"""Read the status of a run directory while another process writes it.

Takes no lock and writes nothing. An incomplete last line is read once it is complete; a replaced file is read from the start.
"""

import json
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Drop
from self_instruct.runs import manifest
from self_instruct.runs.funnel import STAGES, Funnel
from self_instruct.runs.layout import ACCEPTED, JOURNAL, LOGS, PREDICTIONS, REJECTED, REPORT
from self_instruct.user_files import exact_json, regular_bytes

WINDOW_SECONDS = 600.0
_END_BYTES = 1 << 18
_LAST_ERRORS = 5
_BEATS = 3  # missed heartbeats after which a process on another host counts as gone


class GrowingFile:
    """A JSONL file that another process appends to.

    `take` is called once for each object; `begin` is called before the first line of a new or replaced file.
    """

    def __init__(self, path: Path, begin: Callable[[], None], take: Callable[[dict[str, Any]], None]) -> None:
        self._path, self._begin, self._take = path, begin, take
        self._file, self._read = (0, 0), 0
        self.damaged = 0
        begin()

    def catch_up(self) -> None:
        """Read the lines added since the last call. A line that is not an object counts as damaged."""
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                identity = (stat.st_dev, stat.st_ino)
                if identity != self._file or stat.st_size < self._read:
                    self._file, self._read, self.damaged = identity, 0, 0
                    self._begin()
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    self._one(line)
        except FileNotFoundError:
            self._file, self._read, self.damaged = (0, 0), 0, 0
            self._begin()

    def _one(self, line: bytes) -> None:
        row = _object(line)
        try:
            if row is None:
                raise ValueError(line)
            self._take(row)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.damaged += bool(line.strip())


class Watcher:
    """Counts over the files of a run directory; `funnel` holds those of candidates and completions."""

    def __init__(self, folder: Path) -> None:
        self.funnel = Funnel()
        self._files = [
            GrowingFile(folder / JOURNAL, self._begin_journal, self._take_entry),
            GrowingFile(folder / ACCEPTED, self._begin_accepted, self._take_record),
            GrowingFile(folder / REJECTED, self._begin_rejected, self._take_drop),
            GrowingFile(folder / PREDICTIONS, self._begin_predictions, self._take_prediction),
        ]

    def catch_up(self) -> None:
        """Read the lines added since the last call."""
        for file in self._files:
            file.catch_up()
        self.funnel.completions = Counter(reason for reason, _ in self._answers.values())

    @property
    def answered(self) -> int:
        """The number of requests in the journal, whether their candidates were decided on or not."""
        return len(self._answers)

    @property
    def decided(self) -> tuple[int, int]:
        """The number of requests that were decided on, and their completion tokens.

        Decisions follow the order of requests, so these are all requests up to the last one that a record or a drop names.
        """
        last = max(self._last_accepted, self._last_dropped)
        tokens = [number for request, (_, number) in self._answers.items() if request <= last]
        return len(tokens), sum(tokens)

    @property
    def damaged(self) -> int:
        """Return the number of lines that are not objects or lack a required field."""
        return sum(file.damaged for file in self._files)

    def recently(self, now: float) -> tuple[float, float] | None:
        """Return records per minute and tokens per second over at most the last ten minutes; None without recent tokens."""
        for events in (self._tokens, self._records):
            while events and events[0][0] < now - WINDOW_SECONDS:
                events.popleft()
        if not self._tokens:
            return None
        seconds = max(1.0, now - self._tokens[0][0])
        return 60 * len(self._records) / seconds, sum(tokens for _, tokens in self._tokens) / seconds

    def _begin_journal(self) -> None:
        self._answers: dict[int, tuple[str, int]] = {}
        self._tokens: deque[tuple[float, int]] = deque()
        self.funnel.prompt_tokens = self.funnel.completion_tokens = 0

    def _take_entry(self, row: dict[str, Any]) -> None:
        request, reason = int(row["request"]), str(row["finish_reason"])
        if self._answers.get(request, ("error", 0))[0] != "error":
            return
        self._answers[request] = reason, int(row["completion_tokens"])
        self.funnel.prompt_tokens += int(row["prompt_tokens"])
        self.funnel.completion_tokens += int(row["completion_tokens"])
        _note(self._tokens, row.get("created_at"), int(row["completion_tokens"]))

    def _begin_accepted(self) -> None:
        self.funnel.tally.kept, self._last_accepted = 0, -1
        self._records: deque[tuple[float, int]] = deque()

    def _take_record(self, row: dict[str, Any]) -> None:
        self.funnel.tally.keep()
        self._last_accepted = max(self._last_accepted, last_request(row["provenance"]))
        _note(self._records, row["provenance"].get("created_at"), 1)

    def _begin_rejected(self) -> None:
        self.funnel.tally.drops.clear()
        self._last_dropped = -1

    def _take_drop(self, row: dict[str, Any]) -> None:
        self.funnel.tally.drop(Drop(str(row["stage"]), str(row["reason"])))
        self._last_dropped = max(self._last_dropped, last_request(row))

    def _begin_predictions(self) -> None:
        self.predictions: set[tuple[str, int]] = set()

    def _take_prediction(self, row: dict[str, Any]) -> None:
        self.predictions.add((str(row["record"]), int(row["trial"])))


@dataclass(frozen=True)
class Holder:
    """The process that writes a directory; `runs` is None if it cannot be checked, as on another host.

    `pid` is None if the process runs outside this container and left no lock file.
    """

    host: str
    pid: int | None
    runs: bool | None

    def __str__(self) -> str:
        return (
            f"a process outside this container, on {self.host}"
            if self.pid is None
            else f"process {self.pid} on {self.host}"
        )


def holder(folder: Path, name: str) -> Holder | None:
    """Return the process that writes a file, from the list of locks of the system or from the lock file."""
    here = socket.gethostname()
    lock = folder / f"{name}.lock"
    locked = [pid for path in (lock, folder / name) if (pid := _locked_by(path)) is not None]
    if locked and locked[0] > 0:
        return Holder(here, locked[0], True)
    try:
        named = json.loads(lock.read_bytes())
        host, pid = str(named["host"]), int(named["pid"])
    except (OSError, ValueError, TypeError, KeyError):
        return Holder(here, None, True) if locked else None
    if locked:
        return Holder(host, pid, True)
    return Holder(host, pid, False if host == here else None)


def _locked_by(path: Path) -> int | None:
    """Return the id of the process of this machine that locks a file, from /proc; 0 or less if it is in another container.

    Return None if no process of this machine locks the file.
    """
    try:
        stat = path.stat()
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    fields = (line.split() for line in locks)
    return next((int(field[4]) for field in fields if field[1] == "FLOCK" and field[5] == wanted), None)


def last_events(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the last errors of all ranks, oldest first, and the last heartbeat of rank 0; read only the ends of the files."""
    errors: list[dict[str, Any]] = []
    beat: dict[str, Any] | None = None
    for path in sorted((folder / LOGS).glob("rank-*.jsonl")):
        for row in _end_of(path):
            if row.get("level") in ("error", "critical"):
                errors.append(row)
            elif row.get("event") == "heartbeat" and path.name == "rank-0.jsonl":
                beat = row
    return sorted(errors, key=lambda row: str(row.get("time")))[-_LAST_ERRORS:], beat


def last_request(row: Mapping[str, Any]) -> int:
    """Return the index of the last request that a candidate came from, given its provenance or its rejected row."""
    response = row.get("response")
    answered = response.get("request") if isinstance(response, dict) else row.get("response_request")
    choice = row.get("choice")
    several = [int(answer["request"]) for answer in choice["answers"]] if isinstance(choice, dict) else []
    about = row.get("verification")
    tested = int(about["request"]) if isinstance(about, dict) else -1
    return max(int(row.get("request", -1)), int(answered if answered is not None else -1), *several, tested)


def fresh_report(folder: Path) -> dict[str, Any] | None:
    """Return the content of report.json, or None if it is missing, damaged, or older than the journal."""
    try:
        report, journal = folder / REPORT, folder / JOURNAL
        if journal.exists() and report.stat().st_mtime < journal.stat().st_mtime:
            return None
        return _object(regular_bytes(report))
    except OSError:
        return None


def decided_of(report: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Return the numbers of decided requests and of their completion tokens in a report, or None if it lacks them."""
    try:
        return (int(report["requests"]), int(report["tokens"]["completion"])) if report is not None else None
    except (KeyError, TypeError, ValueError):
        return None


def seconds_of(moment: Any) -> float | None:
    """Return a time stamp of the files in seconds since 1970, or None."""
    try:
        return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return None


def _note(events: deque[tuple[float, int]], moment: Any, number: int) -> None:
    """Add an event if it is recent."""
    at = seconds_of(moment)
    if at is not None and at >= time.time() - WINDOW_SECONDS:
        events.append((at, number))


def _end_of(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
            found = [_object(line) for line in file.read().splitlines()]
    except OSError:
        return []
    return [row for row in found if row is not None]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = exact_json(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


# ---- status


@dataclass(frozen=True)
class Status:
    """The status of a run. `state` is running, stopped, ended (without a report) or unknown; rates cover ten minutes.

    `requests` is the number of requests with a completion, `decided` how many of them were decided on, and `decided_tokens` the
    number of their completion tokens.
    """

    folder: str
    state: str
    stopped: str | None
    holder: Holder | None
    accepted: int
    target: int | None
    requests: int
    decided: int
    decided_tokens: int
    yield_: float
    completion_tokens: int
    records_per_minute: float | None
    tokens_per_second: float | None
    seconds_left: int | None
    in_flight: int | None
    predictions: int
    damaged_lines: int
    drops: dict[str, dict[str, int]]
    errors: list[str]
    funnel: Funnel
    options: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by their names in JSON; `accepted` and `drops` replace the funnel."""
        found = {item.name.rstrip("_"): getattr(self, item.name) for item in fields(self)
                 if item.name not in ("funnel", "options")}  # fmt: skip
        return {**found, "holder": asdict(self.holder) if self.holder else None}


def watch(folder: Path, every: float | None = None) -> Iterator[Status]:
    """Yield the status of a run; with `every`, repeat after that many seconds until no process writes the directory.

    Raises UserError if the directory holds no run.
    """
    if not any((folder / name).is_file() for name in (JOURNAL, PREDICTIONS)):
        raise UserError(f"{folder}: holds no {JOURNAL}; give the --batch_dir of a generation run")
    watcher = Watcher(folder)
    while True:
        status = _status(folder, watcher)
        yield status
        if every is None or status.state not in ("running", "unknown"):
            return
        time.sleep(every)


def _status(folder: Path, watcher: Watcher) -> Status:
    """Read the lines added since the last call, and return the status of the run."""
    held = holder(folder, JOURNAL) or holder(folder, PREDICTIONS)
    options = (manifest.read(folder) or {}).get("options", {})
    watcher.catch_up()
    errors, beat = last_events(folder)
    state, stopped = _state(folder, held, beat, options.get("heartbeat_seconds"))
    funnel, target = watcher.funnel, options.get("num_instructions_to_generate")
    rates = watcher.recently(time.time()) if state in ("running", "unknown") else None
    per_minute, per_second = rates or (None, None)
    decided = (decided_of(fresh_report(folder)) if state == "stopped" else None) or watcher.decided
    left = None
    if per_minute and isinstance(target, int):
        left = max(0, round(60 * (target - funnel.accepted) / per_minute))
    return Status(
        str(folder), state, stopped, held, funnel.accepted, target, watcher.answered, *decided,
        round(funnel.yield_of_written, 4),
        funnel.completion_tokens, per_minute, per_second, left,
        beat.get("in_flight") if beat and state == "running" else None, len(watcher.predictions), watcher.damaged,
        funnel.tally.by_stage(STAGES), [_line(row) for row in errors], funnel, options,
    )  # fmt: skip


def _state(folder: Path, held: Holder | None, beat: dict[str, Any] | None, every: Any) -> tuple[str, str | None]:
    """Return the state (see `Status`), and why the last launch stopped if its report says so."""
    if held is not None and held.runs:
        return "running", None
    last_beat = seconds_of(beat.get("time")) if beat else None
    if held is not None and held.runs is None:
        patience = _BEATS * every if isinstance(every, (int, float)) else 0
        return ("running" if last_beat is not None and time.time() - last_beat < patience else "unknown"), None
    report = fresh_report(folder) or {}
    return ("stopped", str(report["stopped"])) if "stopped" in report else ("ended", None)


def _line(row: dict[str, Any]) -> str:
    first = next(iter(str(row.get("message")).strip().splitlines()[-1:]), "")
    return f"{row.get('time')} rank {row.get('rank')} on {row.get('host')}: {first}"
