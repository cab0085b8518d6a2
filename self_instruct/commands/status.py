"""Show the progress of a run from another shell: python -m self_instruct.status RUN_DIR [--watch] [--json]

Reads the files of the directory while the run writes them; locks nothing and writes nothing.
"""

import json
import shlex
import sys
from pathlib import Path

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.report.options import StatusOptions
from self_instruct.report.watch import Status, watch
from self_instruct.runs.options import RunPlace


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    given, (place,) = parse_values(
        argv,
        (__doc__ or "").splitlines()[0],
        (RunPlace, StatusOptions),
        positional=("RUN_DIR",),
        by={"RUN_DIR": ["batch_dir"]},
    )
    options = taken(StatusOptions, given)
    for status in watch(Path(place), options.watch_seconds if options.watch else None):
        if options.json:
            print(json.dumps(status.as_dict()))
        else:
            print(("\033[H\033[2J" if options.watch and sys.stdout.isatty() else "") + _summary(status))
        sys.stdout.flush()
    return 0


def _summary(status: Status) -> str:
    percent = f" ({status.accepted / status.target:.0%})" if status.target else ""
    lines = [
        f"{status.folder}: {_state(status)}",
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
        lines.append(f"{status.damaged_lines} damaged lines were skipped")
    if status.funnel.blocks:
        lines += ["", status.funnel.table()]
    if status.errors:
        lines += ["", "Last errors:", *(f"  {line}" for line in status.errors)]
    return "\n".join([*lines, "", *_next(status)])


def _state(status: Status) -> str:
    if status.state == "running":
        return f"running, {status.holder}"
    if status.state == "unknown":
        return f"held by {status.holder}, which cannot be checked from here"
    if status.state == "stopped":
        return f"stopped: {status.stopped}"
    return "no process is writing to it, and the last one did not record why it ended: it was killed, or its machine failed"


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
