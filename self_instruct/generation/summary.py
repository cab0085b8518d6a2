"""What a person reads when a run has ended: why, the funnel, three records, where the files lie, what to do next."""

import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from self_instruct.records import Record
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import ACCEPTED, JOURNAL, LOGS, REJECTED, REPORT

SAMPLE_LIMIT = 500
_CHANGED = ("--max_requests", "--max_tokens", "--min_yield", "--script_path", "--max_usage_tokens", "--max_cost")


@dataclass(frozen=True)
class Ending:
    """How a run has ended: why it stopped, its counts, and the records kept.

    `seconds` is how long this launch generated, `idle` the share of it in which generation had no prompt to work on, and the
    share of its rows that were in use. `again` is the command that goes on with the run, None if it is unknown.
    """

    folder: Path
    funnel: Funnel
    pool: Sequence[Record]
    stopped: str
    seconds: float | None = None
    idle: tuple[float, float] | None = None
    again: str | None = None


def summarise(ending: Ending) -> str:
    """The text for people."""
    folder, funnel, pool = ending.folder, ending.funnel, ending.pool
    accepted, tokens = funnel.accepted, funnel.completion_tokens
    took = f" in {ending.seconds:,.0f} s" if ending.seconds is not None else ""
    headline = (
        f"Stopped: {ending.stopped}.\n{accepted:,} records from {funnel.requests:,} requests{took}; yield "
        f"{funnel.yield_:.0%} of the blocks that could be read; {tokens / max(accepted, 1):,.0f} new tokens a record."
    )
    if ending.idle is not None:
        waited, full = ending.idle
        headline += f"\nGeneration waited for prompts {waited:.1%} of its time; its rows were {full:.0%} full."
    if funnel.spending.completions:
        headline += f"\n{funnel.spending.summary()}"
    categories = [funnel.table_of_categories()] if funnel.categories else []
    parts = [
        "",
        headline,
        funnel.table(),
        *categories,
        *_warnings(funnel),
        *_samples(pool),
        _files(folder),
        _next(ending),
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(funnel: Funnel) -> list[str]:
    lines = [
        f"  {item.rule} dropped {item.dropped:,} of {item.parsed:,} blocks ({item.dropped / item.parsed:.0%}); {REJECTED} "
        "has them, --filter_rules leaves a rule out"
        for item in funnel.warnings
        if item.warning == "drops_much"
    ]
    idle = [item.rule for item in funnel.warnings if item.warning == "never_fired"]
    if idle:
        lines.append(
            f"  {', '.join(idle)} never fired over {funnel.parsed:,} blocks; that is well if the model writes no such thing"
        )
    return ["\n".join(["Look at these filter rules:", *lines])] if lines else []


def _samples(pool: Sequence[Record]) -> list[str]:
    places = sorted({0, len(pool) // 2, len(pool) - 1}) if pool else []
    return [
        f"[{pool[at].id}] {_shown(pool[at].task)}\n{textwrap.indent(_shown(pool[at].output), '    ')}" for at in places
    ]


def _shown(text: str) -> str:
    return text if len(text) <= SAMPLE_LIMIT else text[:SAMPLE_LIMIT] + " ..."


def _files(folder: Path) -> str:
    captions = {
        ACCEPTED: "the records",
        REJECTED: "every drop with its reason",
        JOURNAL: "what the model wrote, word for word",
        REPORT: "these counts",
        LOGS: "what each process told, a file a rank",
    }
    present = [f"  {name:<38} {caption}" for name, caption in captions.items() if (folder / name).exists()]
    return "\n".join([f"Files in {folder}:", *present])


def _next(ending: Ending) -> str:
    folder, pool = ending.folder, ending.pool
    python, place = shlex.quote(sys.executable), shlex.quote(str(folder))
    lines = ["Next:"]
    if (folder / JOURNAL).exists():
        changed = next((name for name in _CHANGED if name in ending.stopped), None)
        if ending.again is not None and ending.stopped.startswith("all "):
            lines.append(f"  more records:\n    {ending.again} --num_instructions_to_generate {2 * len(pool)}")
        elif ending.again is not None:
            lines.append(f"  go on{f', with another {changed}' if changed else ''}:\n    {ending.again}")
        lines.append(
            f"  another threshold, without generating:\n    {python} -m self_instruct.refilter {place} {place}_strict "
            "--rouge_threshold 0.6"
        )
    if pool:
        lines.append(
            f"  why one was kept or dropped, by its id or text:\n    {python} -m self_instruct.explain {place} {pool[0].id}"
        )
    lines.append(f'  load them:\n    datasets.load_dataset("json", data_files="{folder / ACCEPTED}")')
    return "\n".join(lines)
