"""How a dataset came to be, told by what the commands have left beside it: the run, then what was done to its records.

Commands are told with paths shortened to names, and nothing that may be a secret. Knows nothing of cards.
"""

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct import manifest
from self_instruct.config import GROUPS, declarations
from self_instruct.config.datasets import MergeFilterOptions
from self_instruct.datasets.naming import presentable, short
from self_instruct.datasets.steps import Step, command_line
from self_instruct.earlier import read_run
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.funnel import Funnel, funnel_table
from self_instruct.layout import ACCEPTED, CONSISTENT, REPORT, Places

_SCRIPTS = {True: "instruction_io/instruction_output.py", False: "instruction_iio/instruction_input_output.py"}


def history(path: Path) -> list[Step]:
    """The steps that led to a file or a run's directory, first to last, as far as reports are still there.

    Raises `UserError` if one that is there cannot be understood.
    """
    return _history(path.absolute(), set())


def _history(path: Path, seen: set[Path]) -> list[Step]:
    if path in seen:
        return []
    seen.add(path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name in (ACCEPTED, CONSISTENT):
        return [_run(folder)] if (folder / manifest.FILE_NAME).is_file() else []
    report = Places(path).report
    if not report.is_file():
        return []
    step = _curation(report, path.name)
    # Reports have paths as they were given: from the working directory then, which may be that of the output.
    places = [at.absolute() for place in step.inputs for at in (Path(place), path.parent / place) if at.is_file()]
    earlier = [one for place in places for one in _history(place, seen)]
    return [*earlier, step]


def _run(folder: Path) -> Step:
    run = read_run(folder)
    script = _SCRIPTS[run.described["format"] == INSTRUCTION_OUTPUT.name]
    changed = {
        name: value
        for name, value in run.options.items()
        if value is not None and value != _default(name) and name != "batch_dir"
    }
    report = _read(folder / REPORT)
    try:
        drops = Counter({(at, reason): int(n) for at, found in report["drops"].items() for reason, n in found.items()})
        funnel = Funnel(accepted=int(report["accepted"]), drops=drops, completions=Counter(report["completions"]))
        stopped = f"stopped: {report['stopped']}\n{report['requests']:,} requests\n\n"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder / REPORT, error) from None
    options = {name: value for name, value in presentable(run.options).items() if name != "batch_dir"}
    return Step(
        f"generated {funnel.accepted:,} records",
        command_line(f"accelerate launch {script}", {**presentable(changed), "batch_dir": f"runs/{folder.name}"}),
        stopped + funnel.table(),
        {**options, "seed_tasks_sha256": run.described["seed_tasks_sha256"]},
        {name: text for name, text in (run.described.get("versions") or {}).items() if text},
        str(presentable(run.options).get("model_name_or_path") or ""),
        run.described["model_revision"],
        Path(run.options.get("model_name_or_path") or ""),
    )


def _curation(place: Path, output: str) -> Step:
    """What post-processing, merging, converting or decontaminating has reported."""
    report = _read(place)
    try:
        inputs = report["inputs"]
        kept, drops = _kept(report, inputs)
        paths = [str(one["path"]) for one in inputs]
        options = report.get("options") or {}
        names = [str(one.get("name") or "") for one in inputs]
        licenses = [f"{one['name']}={one['license']}" for one in inputs if one.get("name") and one.get("license")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(place, error) from None
    stages = [(stage, f"after {stage}") for stage in dict.fromkeys(stage for stage, _ in drops)]
    shorts = [short(path) for path in paths]
    changed = {name: value for name, value in options.items() if value is not None and value != _default(name)}
    if "overlap" in report and all(names):
        if changed.get("filter_rules") == MergeFilterOptions().filter_rules:
            del changed["filter_rules"]
        sources = [f"{name}={path}" for name, path in zip(names, shorts, strict=True)]
        given = {"sources": sources, "licenses": licenses, **presentable(changed), "output": output}
        what, command = "merged", command_line("python -m self_instruct.datasets merge", given)
    elif "overlap" in report or "lines" in report:
        given = {"input_path": shorts, **presentable(changed), "output_path": output}
        what, command = "curated", command_line("python -m self_instruct.post_processing", given)
    elif "benchmarks" in report:
        head = shlex.join(["python", "-m", "self_instruct.datasets", "decontaminate", *shorts])
        given = {"benchmarks": list(report["benchmarks"]), "output": output}
        what, command = "decontaminated", command_line(head, given)
    else:
        mended, cleaned = "findings" in report, any("turns" in one for one in inputs)
        name, what = ("lint", "mended") if mended else ("clean", "cleaned") if cleaned else ("convert", "converted")
        head = shlex.join(["python", "-m", "self_instruct.datasets", name, *shorts, *(["--fix"] if mended else [])])
        command = command_line(head, {"to": report.get("format"), **presentable(changed), "output": output})
    table = funnel_table("rows", kept + drops.total(), stages, drops)
    return Step(f"{what}: {kept:,} records", command, table, presentable(options), inputs=tuple(paths))


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


def _read(place: Path) -> dict[str, Any]:
    try:
        report = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(place, error) from None
    if not isinstance(report, dict):
        raise UserError(f"{place}: is not a report of ours; restore it, or move it away and the card says less")
    return report


def _damaged(place: Path, error: Exception) -> UserError:
    return UserError(
        f"{place}: is not a report of ours ({type(error).__name__}: {error}); restore it, or move it away and the card says "
        "less"
    )


def _default(name: str) -> Any:
    item = declarations(GROUPS).get(name)
    if item is None:
        return None
    return item.default_factory() if callable(item.default_factory) else item.default
