"""The steps of a run, as its directory tells them: how records were generated, and how some were chosen, by a judge or by
self-consistency; a judge's choice from other files too. What is not there is left out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import Field
from pathlib import Path

from self_instruct.datasets.naming import presentable, short, without_places
from self_instruct.datasets.steps import DAMAGES, Step, changed, command_line, damaged, read_report
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.runs import manifest
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import CONSISTENCY_REPORT, REPORT
from self_instruct.runs.tally import Tally

_SCRIPTS = {True: "instruction_io/instruction_output.py", False: "instruction_iio/instruction_input_output.py"}
_JUDGE = "python -m self_instruct.judge"
_CONSISTENCY = "accelerate launch instruction_io/output_instruction.py"


def generated(folder: Path, declared: Mapping[str, Field]) -> Step:
    """The generation of a run; without its counts where it has no report. Raises `UserError` for files that are damaged."""
    described, options = manifest.read_run(folder, declared)
    script = _SCRIPTS[described["format"] == INSTRUCTION_OUTPUT.name]
    given = {name: value for name, value in options.items() if name != "batch_dir"}
    command = {**presentable(changed(given, declared)), "batch_dir": _named(folder)}
    report = folder / REPORT
    what, funnel = _counted(report) if report.is_file() else ("generated", "")
    return Step(
        what,
        command_line(f"accelerate launch {script}", command),
        funnel,
        {**presentable(given), "seed_tasks_sha256": described["seed_tasks_sha256"]},
        {name: text for name, text in (described.get("versions") or {}).items() if text},
        str(presentable(options).get("model_name_or_path") or ""),
        described["model_revision"],
        Path(options.get("model_name_or_path") or ""),
    )


def _counted(place: Path) -> tuple[str, str]:
    """How many records a run's report counts, in words, and its funnel."""
    report = read_report(place)
    try:
        drops = Counter({(at, reason): int(n) for at, found in report["drops"].items() for reason, n in found.items()})
        funnel = Funnel(tally=Tally(int(report["accepted"]), drops), completions=Counter(report["completions"]))
        stopped = f"stopped: {report['stopped']}\n{report['requests']:,} requests\n\n"
    except DAMAGES as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from None
    return f"generated {funnel.accepted:,} records", stopped + funnel.table()


def judged(place: Path, kept: Path, folder: Path | None, declared: Mapping[str, Field]) -> Step:
    """The choice of a judge, of the run in `folder` or of files, as its report tells it; that may be missing for a run."""
    if not place.is_file() and folder is not None:
        return Step("judged", command_line(_JUDGE, {"batch_dir": _named(folder)}), "")
    report = read_report(place)
    try:
        verdicts, kept_records = report["verdicts"], int(report["kept"])
        drops = {("judge", "bad"): int(verdicts["bad"]), ("judge", "below_threshold"): int(verdicts["good"]) - kept_records,
                 **{("judge", f"unknown: {reason}"): int(number) for reason, number in report["unknown"].items()}}  # fmt: skip
        paths = tuple(str(one["path"]) for one in report.get("inputs") or [])
        options = dict(report.get("options") or {"judge_threshold": report["threshold"]})
        table = _table(int(report["records"]), drops)
    except DAMAGES as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from None
    read = {"input_path": [short(path) for path in paths]} if folder is None else {"batch_dir": _named(folder)}
    given = presentable(changed(options, declared))
    command = command_line(_JUDGE, {**read, **given, **({"output_path": kept.name} if folder is None else {})})
    told = {**presentable(options), "judges": without_places(report.get("judges") or [])}
    return Step(f"judged: {kept_records:,} records", command, table, told, inputs=paths if folder is None else ())


def consistent(folder: Path, declared: Mapping[str, Field]) -> Step:
    """The choice of a run's records by self-consistency."""
    place, read = folder / CONSISTENCY_REPORT, {"batch_dir": _named(folder)}
    if not place.is_file():
        return Step("chosen by self-consistency", command_line(_CONSISTENCY, read), "")
    report = read_report(place)
    try:
        kept, options = int(report["kept"]), dict(report.get("options") or {})
        drops = {("self_consistency", reason): int(number) for reason, number in report["drops"].items()}
        table = _table(int(report["records"]), drops)
    except DAMAGES as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from None
    given = presentable(changed(options, declared))
    asked = {name: report[name] for name in ("model", "model_revision", "embedding_model") if report.get(name)}
    told = {**presentable(options), "asked": presentable(asked)}
    return Step(
        f"chosen by self-consistency: {kept:,} records", command_line(_CONSISTENCY, {**read, **given}), table, told
    )


def _named(folder: Path) -> str:
    return f"runs/{folder.name}"


def _table(records: int, drops: Mapping[tuple[str, str], int]) -> str:
    found: Counter[tuple[str, str]] = Counter({key: number for key, number in drops.items() if number})
    stages = [(stage, "stay") for stage in dict.fromkeys(stage for stage, _ in found)]
    return Tally(records - found.total(), found).table("records", stages)
