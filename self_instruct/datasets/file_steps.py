"""The step that a report beside a file tells: curating, merging, decontaminating, cleaning, mending or converting."""

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.config.option import declarations
from self_instruct.datasets.naming import presentable, short
from self_instruct.datasets.options import (
    CleaningOptions,
    ConversationOutputOptions,
    ConversionOptions,
    DecontaminationOptions,
    LintOptions,
    MergeFilterOptions,
    MergeOptions,
    ReadingOptions,
)
from self_instruct.datasets.steps import DAMAGES, Step, changed, command_line, damaged, read_report
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.tally import Tally

_DID: dict[str, tuple[str, tuple[type, ...]]] = {
    "post_processing": ("curated", (ReadingOptions, FilterOptions, NoveltyOptions)),
    "merge": ("merged", (MergeOptions, MergeFilterOptions, NoveltyOptions, DecontaminationOptions)),
    "decontaminate": ("decontaminated", (ReadingOptions, DecontaminationOptions)),
    "lint": ("mended", (ReadingOptions, LintOptions)),
    "clean": ("cleaned", (ReadingOptions, ConversationOutputOptions, CleaningOptions)),
    "convert": ("converted", (ReadingOptions, ConversionOptions)),
}
"""What each command does in a word, and its options besides what it reads and writes."""


def of_report(place: Path, output: str) -> Step:
    """The step of a report, which wrote the file of that name. Raises `UserError` if the report cannot be understood."""
    report = read_report(place)
    try:
        inputs = report["inputs"]
        kept, drops = _kept(report, inputs)
        paths = [str(one["path"]) for one in inputs]
        options = dict(report.get("options") or {})
        command = _command_of(report, inputs)
        what, groups = _DID[command]
        given = presentable(changed(options, declarations(groups)))
        told = _command(command, report, [short(path) for path in paths], given, output)
    except DAMAGES as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from None
    stages = [(stage, f"after {stage}") for stage in dict.fromkeys(stage for stage, _ in drops)]
    table = Tally(kept, drops).table("rows", stages)
    return Step(f"{what}: {kept:,} records", told, table, presentable(options), inputs=tuple(paths))


def _command_of(report: Mapping[str, Any], inputs: list[dict[str, Any]]) -> str:
    """Which command wrote a report."""
    if "overlap" in report and all(one.get("name") for one in inputs):
        return "merge"
    if "overlap" in report or "lines" in report:
        return "post_processing"
    if "benchmarks" in report:
        return "decontaminate"
    if "findings" in report:
        return "lint"
    return "clean" if any("turns" in one for one in inputs) else "convert"


def _command(
    name: str, report: Mapping[str, Any], paths: list[str], given: dict[str, Any], output: str
) -> str:  # fmt: skip
    """The command as it is typed, with the options that were given."""
    if name == "post_processing":
        return command_line(
            "python -m self_instruct.post_processing", {"input_path": paths, **given, "output_path": output}
        )
    head = ["python", "-m", "self_instruct.datasets", name]
    if name == "merge":
        inputs = report["inputs"]
        sources = [f"{one['name']}={path}" for one, path in zip(inputs, paths, strict=True)]
        licenses = [f"{one['name']}={one['license']}" for one in inputs if one.get("license")]
        return command_line(shlex.join(head), {"sources": sources, "licenses": licenses, **given, "output": output})
    fixed = ["--fix"] if name == "lint" else []
    before = {"benchmarks": list(report["benchmarks"])} if name == "decontaminate" else {"to": report.get("format")}
    more = {key: value for key, value in {**before, **given}.items() if key != "fix"}
    return command_line(shlex.join([*head, *paths, *fixed]), {**more, "output": output})


def _kept(report: Mapping[str, Any], inputs: list[dict[str, Any]]) -> tuple[int, Counter[tuple[str, str]]]:
    """How many rows are in the output, and what became of the others."""
    if "findings" in report:  # of lint, which writes every row that it can read, and counts the others apart
        drops = Counter({("read", reason): int(number) for reason, number in report["unreadable"].items()})
        return int(report["rows"]), drops
    if "kept" in report:
        return int(report["kept"]), Counter(dict(_pairs(report["drops"])))
    return sum(int(one["written"]) for one in inputs), Counter(dict(_pairs(_added(inputs))))


def _added(inputs: list[dict[str, Any]]) -> dict[str, int]:
    return dict(sum((Counter(one["drops"]) for one in inputs), Counter[str]()))


def _pairs(drops: Mapping[str, Any]) -> list[tuple[tuple[str, str], int]]:
    """Drops by stage and reason, which reports tell as `{stage: {reason: n}}` or `{"stage: reason": n}`."""
    found = []
    for key, value in drops.items():
        if isinstance(value, Mapping):
            found += [((key, reason), int(number)) for reason, number in value.items()]
        else:
            stage, _, reason = key.partition(": ")
            found.append(((stage, reason), int(value)))
    return found
