"""Read the candidates of a run directory with their outcomes, and find one by its id or text.

Reads the accepted and rejected records, the journal, run.yaml, and the seed file if it has not changed since the run.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.formats import FORMATS, RecordFormat
from self_instruct.generation.categories.category import OPTIONS, Category, first_format
from self_instruct.generation.categories.category_file import read_category
from self_instruct.generation.categories.library import find as find_files
from self_instruct.records import Record
from self_instruct.runs import manifest
from self_instruct.runs.journal import Entry, read_journal
from self_instruct.runs.layout import ACCEPTED, JOURNAL, REJECTED
from self_instruct.seeds import load_seeds, sha256_of_file
from self_instruct.user_files import read_objects

LISTED = 10
_ID = r"\d{6,}-\d{2,}"


@dataclass(frozen=True)
class Candidate:
    """A row of the accepted or rejected file: the record, and its provenance or the reason for dropping it."""

    record: Record
    request: int
    accepted: bool
    row: dict[str, Any]

    @property
    def text(self) -> str:
        """Return the task, or the block as the model wrote it if no task could be parsed."""
        return self.record.task or str(self.row.get("text") or "")

    @property
    def outcome(self) -> str:
        """Return the outcome as a short phrase."""
        if self.accepted:
            return "accepted"
        detail = f" ({self.row['detail']})" if self.row.get("detail") else ""
        return f"rejected, {self.row.get('stage')}: {self.row.get('reason')}{detail}"


@dataclass(frozen=True)
class Run:
    """The content of a run directory.

    `entries` is None without a journal, and `seeds` is None if the seed file has changed. `own_options` are the options that
    unchanged category files set; `over` names the options that override those of every category.
    """

    folder: Path
    candidates: dict[str, Candidate]
    entries: dict[int, Entry] | None
    seeds: dict[str, Record] | None
    format: RecordFormat
    options: dict[str, Any]
    categories: dict[str, RecordFormat] = field(default_factory=dict)
    own_options: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    over: tuple[str, ...] = ()

    def format_of(self, entry: Entry) -> RecordFormat:
        """Return the format that a completion was parsed with."""
        return self.categories.get(entry.category or "", self.format)

    def options_of(self, candidate: Candidate) -> Mapping[str, Any]:
        """Return the options that applied to a candidate, without those that a changed category file may have set."""
        name = (candidate.row.get("provenance") or candidate.row).get("category")
        if name is None:
            return self.options
        free = {key: value for key, value in self.options.items() if key not in OPTIONS or key in self.over}
        own = self.own_options.get(name)
        return free if own is None else {**self.options, **own, **free}


def read_run(folder: Path) -> Run:
    """Read a run directory. Raises UserError if it is not a run, or one of its files cannot be parsed."""
    described = manifest.read(folder)
    if described is None:
        raise UserError(
            f"{folder}: holds no {manifest.FILE_NAME}; give the --batch_dir of a run, or a refiltered directory"
        )
    options = described["options"]
    triggers = {name: options.get(f"{name}_trigger") for name in ("instruction", "input", "output")}
    try:
        format = FORMATS[described["format"]].with_triggers(**triggers)
        categories = {
            name: first_format(FORMATS[item["format"]].with_triggers(**triggers), item["steps"])
            for name, item in (described.get("categories") or {}).items()
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"{folder / manifest.FILE_NAME}: is incomplete, or names an unknown format; restore it"
        ) from None
    candidates = {}
    for name in (ACCEPTED, REJECTED):
        if (folder / name).exists():
            for place, row in read_objects(folder / name, "the file", growing=True):
                candidate = _candidate(row, name == ACCEPTED, place)
                candidates[candidate.record.id] = candidate
    if not candidates:
        raise UserError(
            f"{folder}: holds no candidate yet in {ACCEPTED} or {REJECTED}; wait for the first, or generate some"
        )
    entries = None
    if (folder / JOURNAL).is_file():
        entries = {entry.request: entry for entry in read_journal(folder)}
    files = _categories(described.get("categories") or {}, options.get("categories_path"))
    own = {item.name: item.options for item in files or ()}
    over = manifest.over_categories(described)
    return Run(folder, candidates, entries, _seeds(described, files), format, options, categories, own, over)


def _candidate(row: dict[str, Any], accepted: bool, place: str) -> Candidate:
    about = row.get("provenance") if accepted else row
    try:
        record = Record(about["id"], row["instruction"], row["input"], row["output"])  # type: ignore[index]
        request = about["request"]  # type: ignore[index]
        if not all(isinstance(text, str) for text in (record.id, record.instruction, record.input, record.output)):
            raise TypeError
        if not re.fullmatch(_ID, record.id):
            raise ValueError
        return Candidate(record, int(request), accepted, row)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{place}: is not a row written by a run; restore the file, or launch the run again") from None


def _seeds(described: dict[str, Any], files: list[Category] | None) -> dict[str, Record] | None:
    """Return the seed tasks of the run by id, or None if their file has changed."""
    if described.get("categories"):
        return None if files is None else {record.id: record for item in files for record in item.demonstrations}
    path = Path(str(described["options"].get("seed_tasks_path") or ""))
    if not path.is_file() or sha256_of_file(path) != described.get("seed_tasks_sha256"):
        return None
    return {seed.id: seed for seed in load_seeds(path)}


def _categories(categories: dict[str, Any], own: str | None) -> list[Category] | None:
    """Return the categories of a run, or None if one of their files has changed."""
    try:
        found = [read_category(path) for path in find_files(list(categories), Path(own) if own else None)]
    except UserError:
        return None
    if any(item.sha256 != categories[item.name].get("sha256") for item in found):
        return None
    return found


# ---- finding


def find(run: Run, wanted: str) -> tuple[Candidate, list[str]]:
    """Return the candidate with an id or text, and a note on how it was found if the match is not exact.

    Raises UserError if none matches, or several do; the message lists them.
    """
    if wanted in run.candidates:
        return run.candidates[wanted], []
    if run.seeds and wanted in run.seeds:
        raise UserError(
            f"{wanted} is a seed task, and rules are not applied to those; give the id or text of a generated candidate"
        )
    if re.fullmatch(_ID, wanted):
        last = max(candidate.request for candidate in run.candidates.values())
        raise UserError(f"{run.folder}: has no candidate {wanted}; it has candidates of requests 0 to {last}")
    text = wanted.strip()
    if not text:
        raise UserError("ID_OR_TEXT is empty; give an id as in provenance.id or rejected.jsonl, or a text")
    looks: dict[str, Callable[[Candidate], bool]] = {
        "": lambda item: text in (item.text, item.record.instruction),
        "The text is part of its task.": lambda item: text in item.text,
        "The text is part of its output.": lambda item: text in item.record.output,
    }
    for found_by, fits in looks.items():
        if found := [item for item in run.candidates.values() if fits(item)]:
            return _only(found, text), [found_by] if found_by else []
    found, score = _nearest(run, text)
    return _only(found, text), [
        f"No candidate contains this text; the most similar one has a ROUGE-L F1 of {score:.2f}."
    ]


def _nearest(run: Run, text: str) -> tuple[list[Candidate], float]:
    from self_instruct.novelty.rouge import RougeIndex
    from self_instruct.novelty.tokens import TOKENIZERS, rouge_tokens

    index = RougeIndex(TOKENIZERS.get(str(run.options.get("rouge_tokenizer")), rouge_tokens))
    index.add([""], [text])
    scores = {item.record.id: near.score for item in run.candidates.values() if (near := index.nearest(item.text))}
    best = max(scores.values())
    if best == 0:
        raise UserError(f"{run.folder}: no candidate shares a word with {text[:100]!r}; give an id, or another text")
    return [run.candidates[name] for name, score in scores.items() if best - score < 1e-9], best


def _only(found: list[Candidate], text: str) -> Candidate:
    if len(found) == 1:
        return found[0]
    lines = [f"  {item.record.id}  {item.outcome}: {shortened(item.text, 80)}" for item in found[:LISTED]]
    more = [f"  and {len(found) - LISTED} more"] if len(found) > LISTED else []
    raise UserError(
        "\n".join(
            [
                f"{text[:100]!r} matches {len(found)} candidates; give the id of one, or more of its text:",
                *lines,
                *more,
            ]
        )
    )


def shortened(text: str, width: int) -> str:
    """Return the text on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 4]} ..."
