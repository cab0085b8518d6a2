"""self-instruct merge --config configs/open_instructions.yaml, or --sources A=PATH --output_path OUT"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import parse_values, split_name
from self_instruct.datasets.options import (
    ComparisonOptions,
    DecontaminationOptions,
    MergeFilterOptions,
    MergeOptions,
    OutputOptions,
)
from self_instruct.datasets.reading import AUTO, INPUT_FORMATS, Source
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.runs.layout import OutputPaths, check_jsonl, records_in
from self_instruct.runs.options import RunPlace

if TYPE_CHECKING:
    from self_instruct.datasets.curate_files import CurateCounts

_HELP = (
    "Merge sources of any format into one dataset in our format, in order. A record that is too similar to an earlier one "
    "from any source is dropped. Every record keeps its source, licence, path and row, and the fields "
    "that our schema lacks. Beside OUT: OUT.rejected.jsonl, the dropped records with the reason and the similar record; "
    "OUT.report.json, the counts of each source and the overlaps. Exit codes are the same as for convert."
)
_BY = {"[SOURCE...]": ["sources", "batch_dir"]}
_GROUPS = (
    RunPlace,
    MergeOptions,
    OutputOptions,
    ComparisonOptions,
    MergeFilterOptions,
    NoveltyOptions,
    DecontaminationOptions,
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, named = parse_values(argv, _HELP, _GROUPS, None, ("[SOURCE...]",), {}, _BY)
    output = given.get("output_path")
    if not named or output is None:
        missing = "output_path" if named else "sources"
        raise UserError(
            f"--{missing} is missing; give merge --sources NAME=PATH ... --output_path OUT.jsonl, or --config FILE.yaml"
        )
    check_jsonl(output, "--output_path")
    sources = sources_of(named, given.get("licenses", []), given.get("input_formats", []))
    benchmarks = [split_name(text) for text in given.get("benchmarks", [])]
    outputs = OutputPaths(Path(output))
    outputs.check_inputs([*(source.path for source in sources), *(path for _, path in benchmarks)], "--sources")
    from self_instruct.datasets.curate import CurateJob, curate
    from self_instruct.datasets.decontaminate import index_of

    about = taken(DecontaminationOptions, given)
    index = index_of(benchmarks, about.ngram_words, about.substring_words) if benchmarks else None
    settings = {"input_formats": given.get("input_formats", []), **resolved(given, DecontaminationOptions)}
    job = CurateJob(
        sources,
        outputs,
        taken(MergeFilterOptions, given),
        taken(NoveltyOptions, given),
        benchmarks=index,
        uniform=True,
        option="--sources",
        more=settings,
        compare=taken(ComparisonOptions, given).compare,
    )
    counts, _ = curate(job)
    print(_summary([source.name for source in sources], counts, outputs))
    return SOME_UNREADABLE if counts.unreadable else 0


def sources_of(named: Sequence[str], licenses: Sequence[str], formats: Sequence[str]) -> list[Source]:
    """Return the sources in order, with their licences and formats. Raises UserError for an unknown or repeated name."""
    paths = dict[str, str]()
    for text in named:
        name, path = split_name(text)
        name = name or Path(path).stem
        if name in paths:
            raise UserError(f"--sources has the name {name} twice; give each source its own name, as NAME=PATH")
        paths[name] = path
    license, format = _by_name("licenses", licenses, paths), _by_name("input_formats", formats, paths)
    for name, value in format.items():
        if value not in INPUT_FORMATS:
            raise UserError(f"--input_formats {name}={value}: must be one of {', '.join(INPUT_FORMATS)}")
    places = records_in(list(paths.values()))
    return [
        Source(place, name, license.get(name, ""), format.get(name, AUTO))
        for name, place in zip(paths, places, strict=True)
    ]


def _by_name(option: str, texts: Sequence[str], names: Any) -> dict[str, str]:
    found = dict[str, str]()
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names or not value:
            raise UserError(f"--{option} {text}: must be NAME=..., with the name of a source: {', '.join(names)}")
        found[name] = value
    return found


def _summary(names: Sequence[str], counts: "CurateCounts", outputs: OutputPaths) -> str:
    """Format the summary: the funnel, a row for each source, and the overlaps between sources."""
    from self_instruct.datasets.pipeline import written_files

    stages = [stage for stage, _ in counts.stages]
    width = max(8, *map(len, names))
    head = f"{'source':<{width}} {'rows':>10} " + " ".join(f"{stage:>13}" for stage in stages) + f" {'kept':>10}"
    lines = [f"{counts.tally.kept:,} of {counts.tally.total:,} rows were kept.", "", counts.table(), "", head]
    for name, share in zip(names, counts.shares, strict=True):
        dropped = [-share.dropped(stage) for stage in stages]
        lines.append(
            f"{name:<{width}} {share.total:>10,} " + " ".join(f"{n:>13,}" for n in dropped) + f" {share.kept:>10,}"
        )
    lines += ["", "Dropped as too similar, by source (rows) and by the source of the similar record (columns):"]
    lines.append(" ".join(f"{name:>{width}}" for name in ("", *names)))
    for row, name in enumerate(names):
        cells = [f"{counts.overlap[row, column]:,}" for column in range(len(names))]
        lines.append(f"{name:>{width}} " + " ".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join([*lines, "", f"Files in {outputs.kept.parent}: {', '.join(written_files(outputs))}"])
