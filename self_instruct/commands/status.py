"""How a run goes, from another shell: python -m self_instruct.status RUN_DIR [--watch] [--json]

Reads the directory's files while they are written. The run is not disturbed: nothing is locked, nothing written.
"""

import json
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.errors import UserError
from self_instruct.report.options import StatusOptions
from self_instruct.runs.layout import JOURNAL, PREDICTIONS, REPORT
from self_instruct.runs.options import RunPlace

if TYPE_CHECKING:
    from self_instruct.report.watch import Holder, Watcher

_BEATS = 3  # heartbeats that may be missed before a process that cannot be seen is taken for gone


@dataclass(frozen=True)
class Status:
    """All that is told. `state` is running, stopped, ended (without a word) or unknown; rates are of the last ten minutes."""

    folder: str
    state: str
    stopped: str | None
    holder: "Holder | None"
    accepted: int
    target: int | None
    requests: int
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


def main(argv: list[str]) -> int:
    """Runs the command and returns its exit code."""
    given, (place,) = parse_values(
        argv,
        (__doc__ or "").splitlines()[0],
        (RunPlace, StatusOptions),
        positional=("RUN_DIR",),
        by={"RUN_DIR": ["batch_dir"]},
    )
    options, folder = taken(StatusOptions, given), Path(place)
    if not any((folder / name).is_file() for name in (JOURNAL, PREDICTIONS)):
        raise UserError(f"{folder}: holds no {JOURNAL}; give the --batch_dir of a generation run")
    from self_instruct.report.watch import Watcher

    watcher = Watcher(folder)
    while True:
        status = look(folder, watcher)
        if options.json:
            print(
                json.dumps({("yield" if name == "yield_" else name): value for name, value in asdict(status).items()})
            )
        else:
            print(("\033[H\033[2J" if options.watch and sys.stdout.isatty() else "") + shown(status, watcher))
        if not options.watch or status.state not in ("running", "unknown"):
            return 0
        sys.stdout.flush()
        time.sleep(options.watch_seconds)


def look(folder: Path, watcher: "Watcher") -> Status:
    """How things stand now."""
    from self_instruct.report.watch import holder, last_events
    from self_instruct.runs import manifest
    from self_instruct.runs.funnel import STAGES, drops_of

    held = holder(folder, JOURNAL) or holder(folder, PREDICTIONS)
    options = (manifest.read(folder) or {}).get("options", {})
    watcher.catch_up()
    errors, beat = last_events(folder)
    state, stopped = _state(folder, held, beat, options.get("heartbeat_seconds"))
    funnel, target = watcher.funnel, options.get("num_instructions_to_generate")
    rates = watcher.recently(time.time()) if state in ("running", "unknown") else None
    per_minute, per_second = rates or (None, None)
    left = None
    if per_minute and isinstance(target, int):
        left = max(0, round(60 * (target - funnel.accepted) / per_minute))
    return Status(
        str(folder), state, stopped, held, funnel.accepted, target, funnel.requests, round(funnel.yield_, 4),
        funnel.completion_tokens, per_minute, per_second, left,
        beat.get("in_flight") if beat and state == "running" else None, len(watcher.predictions), watcher.damaged,
        drops_of(funnel.drops, STAGES), [_line(row) for row in errors],
    )  # fmt: skip


def _state(folder: Path, held: "Holder | None", beat: dict[str, Any] | None, every: Any) -> tuple[str, str | None]:
    """Whether a process writes there; and why the last launch stopped, if it has said so."""
    from self_instruct.report.watch import seconds_of

    if held is not None and held.runs:
        return "running", None
    heard = seconds_of(beat.get("time")) if beat else None
    if held is not None and held.runs is None:
        patience = _BEATS * every if isinstance(every, (int, float)) else 0
        return ("running" if heard is not None and time.time() - heard < patience else "unknown"), None
    try:
        report = folder / REPORT
        if report.stat().st_mtime >= (folder / JOURNAL).stat().st_mtime:
            return "stopped", str(json.loads(report.read_bytes())["stopped"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "ended", None


def shown(status: Status, watcher: "Watcher") -> str:
    """What a person reads."""
    percent = f" ({status.accepted / status.target:.0%})" if status.target else ""
    lines = [
        f"{status.folder}: {_told(status)}",
        f"accepted {status.accepted:,}/{status.target or '?'}{percent}, {status.requests:,} requests answered, yield "
        f"{status.yield_:.0%}, {status.completion_tokens:,} tokens written",
    ]
    if status.records_per_minute is not None and status.tokens_per_second is not None:
        left = (
            "unknown"
            if status.seconds_left is None
            else f"{status.seconds_left // 3600}:{status.seconds_left // 60 % 60:02d} h"
        )
        flying = f", {status.in_flight} rows in flight" if status.in_flight is not None else ""
        lines.append(
            f"last ten minutes: {status.records_per_minute:,.1f} records/min, {status.tokens_per_second:,.0f} tokens/s, "
            f"ETA {left}{flying}"
        )
    if status.predictions:
        lines.append(f"self-consistency: {status.predictions:,} predictions")
    if status.damaged_lines:
        lines.append(f"{status.damaged_lines} damaged lines were passed over")
    if watcher.funnel.blocks:
        lines += ["", watcher.funnel.table()]
    if status.errors:
        lines += ["", "Last errors:", *(f"  {line}" for line in status.errors)]
    return "\n".join([*lines, "", *_next(status)])


def _told(status: Status) -> str:
    if status.state == "running":
        return f"running, {status.holder}"
    if status.state == "unknown":
        return f"held by {status.holder}, which cannot be seen from here"
    if status.state == "stopped":
        return f"stopped: {status.stopped}"
    return "no process writes it, and the last one has not said why it ended; it was killed, or its machine was lost"


def _next(status: Status) -> list[str]:
    python, place = shlex.quote(sys.executable), shlex.quote(status.folder)
    if status.state == "running":
        return ["Next:", f"  watch it:\n    {python} -m self_instruct.status {place} --watch"]
    if status.state == "unknown":
        return ["Next:", f"  if {status.holder} has ended, the same command as before goes on"]
    if status.target is not None and status.accepted >= status.target:
        return [
            "Next:",
            "  more records: the same command with a larger --num_instructions_to_generate",
            f"  another threshold:\n    {python} -m self_instruct.refilter {place} {place}_strict --rouge_threshold 0.6",
        ]
    return ["Next:", "  the same command as before goes on where this ended"]


def _line(row: dict[str, Any]) -> str:
    first = next(iter(str(row.get("message")).strip().splitlines()[-1:]), "")
    return f"{row.get('time')} rank {row.get('rank')} on {row.get('host')}: {first}"
