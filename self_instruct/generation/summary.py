"""The text at the end of a run: why it stopped, the funnel, three records, the files, and what to do next."""

import os
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from self_instruct.config.program import other_command, other_threshold, with_option
from self_instruct.novelty.tokens import untokenized_warning, without_tokens
from self_instruct.records import Record
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import ACCEPTED, JOURNAL, LOGS, REJECTED, REPORT
from self_instruct.user_files import read_objects

SAMPLE_LIMIT = 500
DEMONSTRATION = (
    "The demonstration model is a toy whose answers are often wrong: these records show how a run works, and are not for "
    "training."
)
_LIMITS = (
    "max_requests", "max_tokens", "max_usage_tokens", "max_cost", "min_yield", "stop_diversity", "script_path",
)  # fmt: skip
"""Options that end a run, so that the same command would end at once."""
AFTER_FAILURE = "  go on, once the cause above is fixed"
OTHER_OPTIONS = "start again with other options: in another --batch_dir, or with --overwrite"


@dataclass(frozen=True)
class Ending:
    """How a run ended: why it stopped, its options, its counts, and the records kept.

    `seconds` is how long this launch generated, None if it generated nothing; `before` is the number of requests that earlier
    launches have answered. `idle` is the share of `seconds` in which generation waited for prompts, and the share of its rows
    in use. `again` is the command of this launch as a list of words, None if it is unknown. `waiting` counts undecided
    completions in the journal. `note` is a sentence about a refilter.
    """

    folder: Path
    funnel: Funnel
    pool: Sequence[Record]
    stopped: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    before: int = 0
    idle: tuple[float, float] | None = None
    again: Sequence[str] | None = None
    waiting: int = 0
    failed: bool = False
    demonstration: bool = False
    note: str = ""

    @property
    def complete(self) -> bool:
        """Whether the target number of records is reached."""
        return self.funnel.accepted >= self.options.get("num_instructions_to_generate", float("inf"))


def summarise(ending: Ending) -> str:
    """Return the text that a command prints at the end of a run."""
    funnel = ending.funnel
    parts = [
        "",
        _headline(ending),
        *([DEMONSTRATION] if ending.demonstration else []),
        funnel.table(),
        *([funnel.table_of_categories()] if funnel.categories else []),
        *_warnings(funnel),
        *_untokenized(ending),
        *_samples(ending.pool),
        _files(ending.folder),
        _next(ending),
    ]
    return "\n\n".join(parts) + "\n"


def why(ending: Ending, noun: str = "records") -> str:
    """Return the first line: how many of the requested records exist, or why the run stopped earlier."""
    if not ending.complete:
        return f"Stopped: {ending.stopped}."
    target = ending.options["num_instructions_to_generate"]
    return f"Done: {ending.funnel.accepted:,} of {target:,} {noun}."


def yield_text(funnel: Funnel) -> str:
    """Return a phrase with the yield per block written, and the yield per block that could be read and was checked."""
    written = f"yield {funnel.yield_of_written:.0%} of {counted(funnel.blocks, 'block')} written"
    if not funnel.parsed:
        return f"{written}, of which none was checked"
    return f"{written} ({funnel.yield_:.0%} of the {funnel.parsed:,} that were checked)"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def tokens_text(tokens: int, accepted: int) -> str:
    """Return a phrase with the new tokens per record, or with their number if there is no record."""
    return f"{tokens / accepted:,.0f} new tokens a record" if accepted else f"{tokens:,} new tokens"


def waiting_text(number: int, complete: bool) -> str:
    """Return a sentence with the number of answered requests whose completions were not used."""
    if complete:
        verb = "requests were" if number > 1 else "request was"
        return f"{number:,} more {verb} answered, but not needed; {JOURNAL} keeps the completions."
    verb = "requests are" if number > 1 else "request is"
    return (
        f"{number:,} more {verb} answered, but not checked yet: an earlier one has no answer, or the run ended first. The next "
        f"launch reads the completions from {JOURNAL}."
    )


def changed_limit(stopped: str) -> str | None:
    """Return the option that ended a run, or None. The same command would end at once unless it is changed."""
    return next((name for name in _LIMITS if f"--{name}" in stopped), None)


def explain_command(folder: Path, name: str) -> str:
    """Return the command that explains a candidate by its id."""
    return other_command("explain", folder, name)


def refilter_command(folder: Path, threshold: float) -> str:
    """Return a command that refilters a run with another threshold into a new directory."""
    names = chain([f"{folder}_strict"], (f"{folder}_strict_{number}" for number in count(2)))
    new = next(name for name in names if not Path(name).exists())
    return other_command("refilter", folder, new, "--rouge_threshold", f"{other_threshold(threshold):g}")


def _headline(ending: Ending) -> str:
    funnel = ending.funnel
    took = f" in {ending.seconds:,.0f} s" if ending.seconds is not None and not ending.before else ""
    lines = [
        why(ending),
        f"{counted(funnel.accepted, 'record')} from {counted(funnel.requests, 'request')}{took}; {yield_text(funnel)}; "
        f"{tokens_text(funnel.completion_tokens, funnel.accepted)}.",
    ]
    if ending.before:
        lines.append(_launch_text(ending))
    if ending.waiting:
        lines.append(waiting_text(ending.waiting, ending.complete))
    if ending.note:
        lines.append(ending.note)
    if ending.idle is not None:
        waited, full = ending.idle
        lines.append(f"Generation waited for prompts {waited:.1%} of its time; its rows were {full:.0%} full.")
    if funnel.spending.completions:
        lines.append(funnel.spending.summary())
    return "\n".join(lines)


def _launch_text(ending: Ending) -> str:
    """Return a sentence on what this launch added to the requests of earlier ones."""
    if ending.seconds is None:
        return f"This launch generated nothing: the journal already held {counted(ending.before, 'completion')}."
    return f"This launch took {ending.seconds:,.0f} s; earlier ones had answered {counted(ending.before, 'request')}."


def _warnings(funnel: Funnel) -> list[str]:
    lines = [
        f"  {item.rule} dropped {item.dropped:,} of {item.parsed:,} blocks ({item.dropped / item.parsed:.0%}); {REJECTED} "
        "lists them, --filter_rules leaves a rule out"
        for item in funnel.warnings
        if item.warning == "drops_much"
    ]
    idle = [item.rule for item in funnel.warnings if item.warning == "never_fired"]
    if idle:
        lines.append(
            f"  {', '.join(idle)} dropped none of {funnel.parsed:,} blocks; that is fine if the model writes no such tasks"
        )
    return ["\n".join(["Check these filter rules:", *lines])] if lines else []


def _untokenized(ending: Ending) -> list[str]:
    """Return a warning if records have no word that ROUGE-L compares."""
    name = str(ending.options.get("rouge_tokenizer", "rouge"))
    number = without_tokens((record.task for record in ending.pool), name)
    return [f"{untokenized_warning(number, len(ending.pool))}."] if number else []


def _samples(pool: Sequence[Record]) -> list[str]:
    positions = sorted({0, len(pool) // 2, len(pool) - 1}) if pool else []
    return [_sample(pool[at]) for at in positions]


def _sample(record: Record) -> str:
    """Return a record with each of its fields labelled; a text of several lines begins below its label."""
    lines = [f"[{record.id}]"]
    for label, text in (("Instruction", record.instruction), ("Input", record.input), ("Output", record.output)):
        if text:
            shown = text if len(text) <= SAMPLE_LIMIT else text[:SAMPLE_LIMIT] + " ..."
            lines.append(f"  {label}:" + ("\n" + textwrap.indent(shown, "    ") if "\n" in shown else f" {shown}"))
    return "\n".join(lines)


def _files(folder: Path) -> str:
    captions = {
        ACCEPTED: "the records",
        REJECTED: "every dropped candidate with its reason",
        JOURNAL: "what the model wrote, word for word",
        REPORT: "these counts",
        LOGS: "the log of each process",
    }
    present = [f"  {name:<38} {caption}" for name, caption in captions.items() if (folder / name).exists()]
    return "\n".join([f"Files in {folder}:", *present])


def _next(ending: Ending) -> str:
    folder, pool = ending.folder, ending.pool
    continuing = _continuing(ending, ending.again) if ending.again is not None else []
    if not pool:
        lines = [*why_none(folder), *continuing]
        return "\n".join(["Next:", *lines]) if lines else f"Next: give other options; {folder} holds no record."
    lines = ["Next:", *continuing]
    if (folder / JOURNAL).exists() and "rouge_threshold" in ending.options:
        command = refilter_command(folder, ending.options["rouge_threshold"])
        lines.append(f"  another threshold, without generating:\n    {command}")
    lines.append(
        f"  why a candidate was kept or dropped, by its id or text:\n    {explain_command(folder, pool[0].id)}"
    )
    lines.append(f'  load the records:\n    datasets.load_dataset("json", data_files="{folder / ACCEPTED}")')
    return "\n".join(lines)


def _continuing(ending: Ending, again: Sequence[str]) -> list[str]:
    """Return how to continue the run: the command of this launch, with another value of the option that ended it."""
    if ending.complete:
        number = 2 * len(ending.pool)
        return [f"  more records:\n    {_typed(with_option(again, ['--num_instructions_to_generate'], number))}"]
    if ending.failed:
        return [f"{AFTER_FAILURE}:\n    {_typed(again)}"]
    limit = changed_limit(ending.stopped)
    value = ending.options.get(limit or "")
    if limit is None:
        return [f"  go on:\n    {_typed(again)}"]
    if isinstance(value, str) or not value:
        return [f"  go on, with another --{limit}:\n    {_typed(again)}"]
    if limit == "min_yield" and not ending.funnel.recent_yield:
        return [f"  {OTHER_OPTIONS}"]
    changed = _lower(ending.funnel, limit, value) if limit in ("min_yield", "stop_diversity") else 2 * value
    return [f"  go on, with another --{limit}:\n    {_typed(with_option(again, [f'--{limit}'], f'{changed:.12g}'))}"]


def _lower(funnel: Funnel, limit: str, value: float) -> float:
    """Return half of the limit, or of the figure that was below it, so that the run does not stop again at once."""
    figure = funnel.recent_yield if limit == "min_yield" else funnel.novelty.mean
    return float(f"{min(value, figure or value) / 2:.2g}")


def why_none(folder: Path) -> list[str]:
    """Return lines with the command that explains a candidate dropped for the most frequent reason; none if none was."""
    path = folder / REJECTED
    rows = [row for _, row in read_objects(path, "the run") if "id" in row] if path.is_file() else []
    rows = [row for row in rows if row.get("stage") != "generation"]  # a failed request has no candidate
    if not rows:
        return []
    reason, number = Counter(str(row.get("reason")) for row in rows).most_common(1)[0]
    name = next(str(row["id"]) for row in rows if str(row.get("reason")) == reason)
    return [
        f"  why candidates were dropped, most often for {reason} ({number:,} of {len(rows):,}):\n"
        f"    {explain_command(folder, name)}"
    ]


def _typed(words: Sequence[str]) -> str:
    return f"cd {shlex.quote(os.getcwd())} && {shlex.join(words)}"
