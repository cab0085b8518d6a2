"""What a report takes before it is drawn: the sources read, their verbs told, vectors found or encoded, neighbours searched."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from self_instruct.errors import UserError
from self_instruct.report.figures import Known
from self_instruct.report.meanings import encoded_meanings, found_meanings
from self_instruct.report.neighbours import neighbours
from self_instruct.report.sources import read_sources
from self_instruct.report.verb_noun import verb_noun
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import OutputPaths


@contextmanager
def open_output(output: Path, places: Sequence[str]) -> Iterator[NewFile]:
    """The file of the report, which is none of its sources. Raises `UserError` if it is, or cannot be written."""
    if any(Path(place).resolve() == output.resolve() for place in places):
        raise UserError(f"--output {output}: is what the report is about, and would be replaced; give another path")
    with closing(NewFile(output)) as file:
        yield file


def known_of(places: Sequence[str], model_name_or_path: str | None, output: Path) -> Known:
    """All that is to be known of the sources; a model encodes what has no vector yet. Raises `UserError` for what is none."""
    sources = read_sources(places)
    if model_name_or_path is None:
        meanings = found_meanings(sources)
    else:
        meanings = encoded_meanings(sources, model_name_or_path, OutputPaths(output.with_suffix("")).vectors)
    vectors = meanings.vectors
    return Known(
        sources,
        [[verb_noun(row.record.instruction) for row in source.rows] for source in sources],
        [neighbours(source, vectors[at] if vectors else None) for at, source in enumerate(sources)],
        vectors,
        meanings.why_not,
    )
