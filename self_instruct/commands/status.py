"""Show the progress of a run from another shell: self-instruct status RUN_DIR [--watch] [--json]

Reads the files of the directory while the run writes them; locks nothing and writes nothing.
"""

import json
import sys
from pathlib import Path

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.config.program import other_command
from self_instruct.engines.base import UNANSWERED
from self_instruct.generation.progress import clock
from self_instruct.generation.summary import (
    AFTER_FAILURE,
    OTHER_OPTIONS,
    changed_limit,
    counted,
    refilter_command,
    tokens_text,
    waiting_text,
    why_none,
    yield_text,
)
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
            if options.watch and sys.stdout.isatty():
                sys.stdout.buffer.write(b"\033[H\033[2J")  # clear the screen; the text stream would escape it
            print(_summary(status))
        sys.stdout.flush()
    return 0


def _summary(status: Status) -> str:
    percent = f" ({status.accepted / status.target:.0%})" if status.target else ""
    lines = [
        f"{status.folder}: {_state(status)}",
        f"accepted {status.accepted:,}/{status.target or '?'}{percent} from {counted(status.decided, 'request')}; "
        f"{yield_text(status.funnel)}; {tokens_text(status.decided_tokens, status.accepted)}",
    ]
    if status.requests > status.decided:
        complete = status.target is not None and status.accepted >= status.target
        lines.append(waiting_text(status.requests - status.decided, complete))
    if status.records_per_minute is not None and status.tokens_per_second is not None:
        flying = f", {status.in_flight} rows in flight" if status.in_flight is not None else ""
        lines.append(
            f"last ten minutes: {status.records_per_minute:,.1f} records/min, {status.tokens_per_second:,.0f} tokens/s, "
            f"ETA {clock(status.seconds_left)}{flying}"
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
    if status.state == "running":
        return ["Next:", f"  watch it:\n    {other_command('status', status.folder, '--watch')}"]
    if status.state == "unknown":
        return ["Next:", f"  if {status.holder} has ended, run the same command as before to continue"]
    lines, folder, threshold = ["Next:"], Path(status.folder), status.options.get("rouge_threshold")
    limit = changed_limit(status.stopped or "")
    if status.target is not None and status.accepted >= status.target:
        lines.append("  more records: the same command with a larger --num_instructions_to_generate")
    elif UNANSWERED in (status.stopped or ""):
        lines.append(f"{AFTER_FAILURE}: the same command")
    elif limit == "min_yield" and not status.accepted:
        lines.append(f"  {OTHER_OPTIONS}")
    elif limit:
        lines.append(f"  go on: the same command with another --{limit}")
    else:
        lines.append("  go on: the same command")
    if status.accepted and isinstance(threshold, float):
        lines.append(f"  another threshold:\n    {refilter_command(folder, threshold)}")
    elif not status.accepted:
        lines += why_none(folder)
    return lines
