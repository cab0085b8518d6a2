"""Write a dataset as a Hub repository, with statistics: all records as one table, their conversations as another for trainers.

Paths in records are shortened to names, so that a published dataset does not reveal directories.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from self_instruct.datasets.example import ASSISTANT, SYSTEM, USER, Example
from self_instruct.datasets.naming import short, with_short_paths
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.outputs import Parquet, Sized, exchanges
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Unreadable
from self_instruct.datasets.training import Unfit
from self_instruct.datasets.writing import writable
from self_instruct.errors import UserError
from self_instruct.records import is_blank
from self_instruct.runs.files import NewFile, put

CARD, RECORDS, CHATS = "README.md", "data/train.parquet", "chat/train.parquet"
# Both are Parquet, since the datasets library reads a repository with one reader.
MARK = "<!-- written by self_instruct.datasets card -->"
BEGUN = "card.part"  # has the mark while the card is missing, so that a folder of a killed command is accepted again
_SHOWN_FAULTS = 5
_ROLES = {SYSTEM, USER, ASSISTANT}


@dataclass
class Statistics:
    """Counts over the rows of a dataset: records, those that are also `chats` for trainers, the others by reason; histograms of
    words and of ROUGE-L to the nearest record; the first record as an example.
    """

    records: int = 0
    chats: int = 0
    no_chat: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)
    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    words: dict[str, Counter[int]] = field(default_factory=dict)
    rouge_l: Counter[float] = field(default_factory=Counter)
    example: Example | None = None

    def count(self, example: Example) -> None:
        """Count a record."""
        self.records += 1
        self.example = self.example or example
        self.sources[example.source, example.license] += 1
        if example.category:
            self.categories[example.category] += 1
        answers = [turn["content"] for turn in example.turns if turn["role"] == ASSISTANT]
        output = " ".join(text for text in answers if isinstance(text, str))
        texts = {"instruction": example.instruction, "input": example.input, "output": output}
        for name, text in texts.items():
            if text:
                self.words.setdefault(name, Counter())[len(text.split())] += 1
        made = provenance_of_run(example)
        if isinstance(made.get("model"), str):
            self.models[made["model"], str(made.get("model_revision") or "")] += 1
        score = made.get("rouge_l")
        if isinstance(score, int | float) and 0 <= score <= 1:
            self.rouge_l[round(score, 2)] += 1

    def fault(self, row: Unreadable) -> None:
        """Count a row that could not be read."""
        self.unreadable += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(f"{row.place}: {row.problem}")


def provenance_of_run(example: Example) -> dict[str, Any]:
    """Return the provenance that a run gave a record; empty if there is none."""
    found = example.fields.get("provenance")
    return found if isinstance(found, dict) else {}


def check_folder(folder: Path, inputs: list[Path]) -> None:
    """Raise UserError if the card would replace an input, or a file that no card command wrote. An empty folder, and one that
    an interrupted card command left, are accepted.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_path {folder}: is a file; give a directory")
    if not _is_ours(folder):
        raise UserError(
            f"--output_path {folder}: holds files but no card written by this command; give a new or empty directory"
        )
    for path in inputs:
        for output in (folder / RECORDS, folder / CHATS):
            if output.exists() and path.exists() and path.samefile(output):
                raise UserError(f"{path}: is an input that the output would replace; give another --output_path")


def _is_ours(folder: Path) -> bool:
    """Return whether a folder has a card of this command, finished or not, or no files except parts of one."""
    for name in (CARD, BEGUN):
        try:
            if MARK in (folder / name).read_text(encoding="utf-8"):
                return True
        except (OSError, UnicodeDecodeError):
            pass
    halves = {folder / f"{name}.part" for name in (CARD, RECORDS, CHATS, BEGUN)}
    return all(path in halves for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def lay_out(
    source: Source,
    folder: Path,
    option: str,
    *,
    write: bool = True,
    statistics: Statistics | None = None,
    first: int = 0,
) -> tuple[Statistics, list[tuple[str, int]]]:
    """Write the records and the conversations, and count. Return the counts, and the files with their sizes in bytes.

    Without `write` only the sizes are measured. `statistics` holds the counts of earlier sources, to which these are added, and
    `first` is the number of this source's first row. Raises UserError if nothing can be read or written.
    """
    statistics, chat = statistics or Statistics(), writable("prompt-completion", {"messages"})
    with ExitStack() as stack:
        [reader] = open_sources([source], option)
        files = {
            name: stack.enter_context(closing(Sized(NewFile(folder / name) if write else None)))
            for name in (RECORDS, CHATS)
        }
        records, chats = (
            stack.enter_context(closing(Parquet(file, schema)))
            for file, schema in zip(files.values(), (None, exchanges()), strict=True)
        )
        for example in _examples(reader, statistics, first):
            statistics.count(example)
            records.write(row_of(example, set()))
            try:
                _check_turns(example)
                [row] = chat.rows(example)
                if not row["completion"]:
                    raise Unfit("no_answer", "has no answer")
            except Unfit as unfit:
                statistics.no_chat[unfit.reason] += 1
                continue
            statistics.chats += 1
            chats.write({name: _plain(row[name]) for name in ("prompt", "completion")})
        if not statistics.records:
            raise UserError(f"{option} {source.label}: none of its rows could be read; {'; '.join(statistics.faults)}")
        if write:
            put(folder / BEGUN, MARK.encode())
        records.finish()
        if statistics.chats:
            chats.finish()
        elif write:
            (folder / CHATS).unlink(missing_ok=True)  # left by an earlier card
    return statistics, [(name, file.size) for name, file in files.items() if name == RECORDS or statistics.chats]


def _examples(reader: Reader, statistics: Statistics, first: int) -> Iterator[Example]:
    for item in reader.rows():
        if isinstance(item, Unreadable):
            statistics.fault(item)
        else:
            example = item[1]
            about = {"path": short(example.path), "fields": with_short_paths(example.fields)}
            yield replace(example, row=example.row + first, **about)


def _check_turns(example: Example) -> None:
    """Raise Unfit for turns with more than a role and a text, such as tool calls, since chat templates differ in them."""
    turns = example.turns
    if turns and turns[-1]["role"] == ASSISTANT and not turns[-1].get("tool_calls") and is_blank(turns[-1]["content"]):
        raise Unfit("no_answer", "the last answer is empty")
    for turn in turns:
        if turn["role"] not in _ROLES or not isinstance(turn["content"], str) or is_blank(turn["content"]):
            raise Unfit("other_turns", f"has a turn of the role {turn['role']}, or one without a text")


def _plain(turns: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: turn[name] for name in ("role", "content")} for turn in turns]
