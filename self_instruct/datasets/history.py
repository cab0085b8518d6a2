"""Reconstruct the steps that made a dataset from the reports beside it: the run, then each command on its records.

Commands are shown with shortened paths, and without options that may be secret.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.config.option import declarations
from self_instruct.datasets.naming import pasteable, presentable, with_short_paths
from self_instruct.datasets.options import (
    CleaningOptions,
    ConversationOutputOptions,
    ConversionOptions,
    DecontaminationOptions,
    LintOptions,
    MergeFilterOptions,
    MergeOptions,
    ReadingOptions,
    SelectOptions,
)
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs import manifest
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import (
    ACCEPTED,
    CONSISTENCY_REPORT,
    CONSISTENT,
    DESCRIPTION,
    JUDGE_REPORT,
    JUDGED,
    REPORT,
    SCORE_REPORT,
    SCORED,
    OutputPaths,
)
from self_instruct.runs.tally import Tally

_OF_ONE_LAUNCH = ("batch_dir", "append", "overwrite", "yes", "dry_run", "plan")
_REPORTS = {JUDGED: JUDGE_REPORT, CONSISTENT: CONSISTENCY_REPORT}
_DID: dict[str, tuple[str, tuple[type, ...]]] = {
    "curate": ("curated", (ReadingOptions, FilterOptions, NoveltyOptions)),
    "merge": ("merged", (MergeOptions, MergeFilterOptions, NoveltyOptions, DecontaminationOptions)),
    "decontaminate": ("decontaminated", (ReadingOptions, DecontaminationOptions)),
    "lint": ("fixed", (ReadingOptions, LintOptions)),
    "select": ("selected", (ReadingOptions, SelectOptions, NoveltyOptions)),
    "clean": ("cleaned", (ReadingOptions, ConversationOutputOptions, CleaningOptions)),
    "convert": ("converted", (ReadingOptions, ConversionOptions)),
}
"""For each command its past participle, and its options other than inputs and outputs."""


@dataclass(frozen=True)
class Step:
    """A command that ran: a summary, the command line, the funnel (empty without a report), options and versions if known, the
    model with its revision and local path if it generated, and the paths of its `inputs`.
    """

    what: str
    command: str
    funnel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    revision: str = ""
    model_place: Path | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """The options of the generation, judge and self-consistency commands, which packages above this one declare."""

    run: Mapping[str, Field]
    judge: Mapping[str, Field]
    consistency: Mapping[str, Field]


def history(path: Path, declared: Declared) -> list[Step]:
    """Return the steps that made a file or a run's directory, first to last, as far as their reports exist.

    Raises UserError if a report is damaged.
    """
    return _history(path.absolute(), declared, set())


def _history(path: Path, declared: Declared, seen: set[Path]) -> list[Step]:
    if path.is_dir():
        path = path / ACCEPTED
    if path in seen:
        return []
    seen.add(path)
    folder, outputs = path.parent, OutputPaths(path)
    scored = folder / SCORE_REPORT if path.name == SCORED else outputs.beside(f".{SCORE_REPORT}")
    reports = [place for place in (outputs.report, outputs.judge_report, scored) if place.is_file()]
    if reports:
        last = max(reports, key=lambda place: place.stat().st_mtime_ns)  # the later command wrote the file
        if last == scored:
            step = _scored(last, path)
        else:
            step = (
                _judged(last, path, None, declared.judge) if last == outputs.judge_report else _of_report(last, path)
            )
        found = [place for named in step.inputs for place in _located(named, folder)]
        return [*(one for place in found for one in _history(place, declared, seen)), step]
    is_run = (folder / DESCRIPTION).is_file()
    if path.name == ACCEPTED:
        return [_generated(folder, declared.run)] if is_run else []
    report = _REPORTS.get(path.name)
    if report is None or not (is_run or (folder / report).is_file()):
        return []
    if path.name == JUDGED:
        step = _judged(folder / report, path, folder, declared.judge)
    else:
        step = _consistent(folder, declared.consistency)
    return [*_history(folder / ACCEPTED, declared, seen), step]


def _generated(folder: Path, declared: Mapping[str, Field]) -> Step:
    """Return the generation step of a run, without counts if it has no report. Raises UserError for damaged files."""
    described, options = manifest.read_run(folder, declared)
    given = {name: value for name, value in options.items() if name != "batch_dir"}
    format = described["format"]
    command = {
        "record_format": format if format != INSTRUCTION_OUTPUT.name else None,
        **presentable(_changed({name: given[name] for name in given if name not in _OF_ONE_LAUNCH}, declared)),
        "batch_dir": pasteable(str(folder)),
    }
    report = folder / REPORT
    what, funnel = _counted(report) if report.is_file() else ("generated", "")
    return Step(
        what,
        _command_line("generate", command),
        funnel,
        {**presentable(given), "seed_tasks_sha256": described["seed_tasks_sha256"]},
        {name: text for name, text in (described.get("versions") or {}).items() if text},
        str(with_short_paths({"model": options.get("model_name_or_path") or ""})["model"]),
        described["model_revision"],
        Path(options.get("model_name_or_path") or ""),
    )


def _counted(place: Path) -> tuple[str, str]:
    """Return how many records a run's report counts, in words, and its funnel."""
    with _report(place) as report:
        funnel = Funnel(
            tally=Tally(int(report["accepted"]), _by_stage(report["drops"])),
            completions=Counter(report["completions"]),
        )
        stopped = f"stopped: {report['stopped']}\n{report['requests']:,} requests\n\n"
    return f"generated {funnel.accepted:,} records", stopped + funnel.table()


def _judged(place: Path, kept: Path, folder: Path | None, declared: Mapping[str, Field]) -> Step:
    """Return the step of a judge command on the run in `folder`, or on files. The report may be missing for a run."""
    if not place.is_file() and folder is not None:
        return Step("judged", _command_line("judge", {"batch_dir": pasteable(str(folder))}), "")
    with _report(place) as report:
        verdicts, kept_records = report["verdicts"], int(report["kept"])
        drops = {("judge", "bad"): int(verdicts["bad"]), ("judge", "below_threshold"): int(verdicts["good"]) - kept_records,
                 **{("judge", f"unknown: {reason}"): int(number) for reason, number in report["unknown"].items()}}  # fmt: skip
        paths = tuple(str(one["path"]) for one in report.get("inputs") or [])
        options = dict(report.get("options") or {"judge_threshold": report["threshold"]})
        table = _funnel("records", int(report["records"]), drops, "kept")
    command = presentable(_changed(options, declared))
    if folder is None:
        command = {"input_path": _inputs(paths, kept.parent), **command, "output_path": pasteable(str(kept))}
    else:
        command = {"batch_dir": pasteable(str(folder)), **command}
    shown = {**presentable(options), "judges": with_short_paths(report.get("judges") or [])}
    line = _command_line("judge", command)
    return Step(f"judged: {kept_records:,} records", line, table, shown, inputs=paths if folder is None else ())


def _scored(place: Path, output: Path) -> Step:
    """Return the step of a score command on a run or on files."""
    with _report(place) as report:
        paths = tuple(str(one["path"]) for one in report["inputs"])
        number, options, models = int(report["scored"]), dict(report["options"]), list(report["models"])
        model = models[0]["model"] if models else None
    read: dict[str, Any] = {"batch_dir": pasteable(str(output.parent))}
    if output.name != SCORED:
        read = {"input_path": _inputs(paths, output.parent), "output_path": pasteable(str(output))}
    command = {**presentable({"model_name_or_path": model}), "scores": options["scores"]}
    shown = {**presentable(options), "models": with_short_paths(models)}
    line = _command_line("score", {**read, **command})
    return Step(f"scored: {number:,} records", line, "", shown, inputs=paths)


def _consistent(folder: Path, declared: Mapping[str, Field]) -> Step:
    """Return the self-consistency step of a run."""
    place, read = folder / CONSISTENCY_REPORT, {"batch_dir": pasteable(str(folder))}
    if not place.is_file():
        return Step("chosen by self-consistency", _command_line("self-consistency", read), "")
    with _report(place) as report:
        kept, options = int(report["kept"]), dict(report.get("options") or {})
        drops = {("self_consistency", reason): int(number) for reason, number in report["drops"].items()}
        table = _funnel("records", int(report["records"]), drops, "kept")
    given = presentable(_changed(options, declared))
    asked = {name: report[name] for name in ("model", "model_revision", "embedding_model") if report.get(name)}
    shown = {**presentable(options), "asked": presentable(asked)}
    line = _command_line("self-consistency", {**read, **given})
    return Step(f"chosen by self-consistency: {kept:,} records", line, table, shown)


def _located(path: str, folder: Path) -> list[Path]:
    """Return the files that an input of a report may be. Its path may be relative to the current directory, or to the folder of
    the output if the command ran there.
    """
    return [place.absolute() for place in (Path(path), folder / path) if place.is_file()]


def _inputs(paths: Sequence[str], folder: Path) -> list[str]:
    """Return the inputs of a report as paths for a published command."""
    return [pasteable(next(map(str, _located(path, folder)), path)) for path in paths]


def _of_report(place: Path, output: Path) -> Step:
    """Return the step that wrote a report and its output. Raises UserError if the report cannot be understood."""
    with _report(place) as report:
        inputs = report["inputs"]
        kept, drops = _kept(report, inputs)
        paths = [str(one["path"]) for one in inputs]
        options = dict(report.get("options") or {})
        command = _command_of(report, inputs)
        what, groups = _DID[command]
        given = presentable(_changed(options, declarations(groups)))
        line = _command(command, report, _inputs(paths, output.parent), given, pasteable(str(output)))
    table = _funnel("rows", kept + drops.total(), drops, "after {stage}")
    return Step(f"{what}: {kept:,} records", line, table, presentable(options), inputs=tuple(paths))


def _command_of(report: Mapping[str, Any], inputs: list[dict[str, Any]]) -> str:
    """Return the command that wrote a report."""
    if "overlap" in report and all(one.get("name") for one in inputs):
        return "merge"
    if "overlap" in report or "lines" in report:
        return "curate"
    if "benchmarks" in report:
        return "decontaminate"
    if "lowest_cosine_with_a_kept_row" in report:
        return "select"
    if "findings" in report:
        return "lint"
    return "clean" if any("turns" in one for one in inputs) else "convert"


def _command(
    name: str, report: Mapping[str, Any], paths: list[str], given: dict[str, Any], output: str
) -> str:  # fmt: skip
    """Return the command line with the options that were given."""
    if name == "curate":
        return _command_line(name, {"input_path": paths, **given, "output_path": output})
    if name == "merge":
        inputs = report["inputs"]
        sources = [f"{one['name']}={path}" for one, path in zip(inputs, paths, strict=True)]
        licenses = [f"{one['name']}={one['license']}" for one in inputs if one.get("license")]
        return _command_line(name, {"sources": sources, "licenses": licenses, **given, "output_path": output})
    before = {"benchmarks": list(report["benchmarks"])} if name == "decontaminate" else {"to": report.get("format")}
    before = {} if name == "select" else before
    return _command_line(name, {**before, **given, "output_path": output}, paths)


def _kept(report: Mapping[str, Any], inputs: list[dict[str, Any]]) -> tuple[int, Counter[tuple[str, str]]]:
    """Return how many rows the output has, and counts of the other rows by stage and reason."""
    if "findings" in report:  # lint writes every readable row and counts the others separately
        return int(report["rows"]), _by_stage({"read": report["unreadable"]})
    if "kept" in report:
        return int(report["kept"]), _by_stage(report["drops"])
    drops = sum((Counter(one["drops"]) for one in inputs), Counter[str]())
    return sum(int(one["written"]) for one in inputs), _by_stage(drops)


def _command_line(command: str, options: Mapping[str, Any], positional: Sequence[str] = ()) -> str:
    """Return a command for a shell, one option per line; options without a value are left out."""
    lines = [shlex.join(["self-instruct", command, *positional])]
    for name, value in options.items():
        if value == [] or value is None:
            continue
        if value is True:
            words = [f"--{name}"]
        elif isinstance(value, list):
            words = [f"--{name}", *map(str, value)]
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words = [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
        lines.append(shlex.join(words))
    return " \\\n    ".join(lines)


def _changed(options: Mapping[str, Any], declared: Mapping[str, Field]) -> dict[str, Any]:
    """Return the options that differ from their declared defaults."""
    found = {}
    for name, value in options.items():
        item = declared.get(name)
        default = item.default_factory() if item and callable(item.default_factory) else item and item.default
        if value is not None and value != default:
            found[name] = value
    return found


@contextmanager
def _report(place: Path) -> Iterator[dict[str, Any]]:
    """Read a report. Raises UserError if it is damaged, or lacks a field that the `with` block reads."""
    try:
        report = json.loads(place.read_text(encoding="utf-8"))
        if not isinstance(report, dict):
            raise TypeError(f"it holds a {type(report).__name__}")
        yield report
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{place}: is not a report of self-instruct ({type(error).__name__}: {error}); restore it, or move it away to "
            "get a card without it"
        ) from None


def _by_stage(drops: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    """Return drops by stage and reason; reports have them as `{stage: {reason: n}}` or as `{"stage: reason": n}`."""
    found = Counter[tuple[str, str]]()
    for key, value in drops.items():
        if isinstance(value, Mapping):
            found.update({(key, reason): int(number) for reason, number in value.items()})
        else:
            stage, _, reason = key.partition(": ")
            found[stage, reason] += int(value)
    return found


def _funnel(first: str, number: int, drops: Mapping[tuple[str, str], int], left: str) -> str:
    """Return the table of a funnel; `left` is the label of the rows that remain after a stage."""
    found = Counter({key: count for key, count in drops.items() if count})
    stages = [(stage, left.format(stage=stage)) for stage in dict.fromkeys(stage for stage, _ in found)]
    return Tally(number - found.total(), found).table(first, stages)
