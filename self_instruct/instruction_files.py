"""Reading files of instructions, whoever wrote them: each line is a task, or is told with its place and what is wrong with it.

A faulty line does not end the reading. Knows nothing of what makes a good task.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

from self_instruct.errors import UserError
from self_instruct.jsonl import LineError, object_of
from self_instruct.records import Record
from self_instruct.seeds import task_of

PIPE = "-"
LONGEST = 1 << 22  # bytes of a line; about a million tokens
_SHOWN = 2000


@dataclass(frozen=True)
class Task:
    """A line that could be read: the task, whose id is its place, the name that the line gives it, and the line's content as it
    stood, without white space around it.
    """

    record: Record
    name: str
    content: bytes


@dataclass(frozen=True)
class Unreadable:
    """A line that could not: the reason in one word, the problem in words, and the beginning of its text."""

    place: str
    reason: str
    problem: str
    text: str


@dataclass(frozen=True)
class InstructionFile:
    """The lines of a file that are not blank, in order, and whether any of them has an output."""

    path: str
    lines: list[Task | Unreadable]
    has_output: bool


def read_files(paths: Sequence[str], named: str = "--input_path") -> list[InstructionFile]:
    """What the files hold; `-` is standard input. Schemas are those of `load_seeds`, with the instruction alone required.
    `named` is how a message calls what was given.

    Raises `UserError` when a file cannot be opened, and when no line of any could be read.
    """
    files = [_read_file(path, named) for path in paths]
    lines = [line for file in files for line in file.lines]
    shown = ", ".join(map(str, paths))[:300]
    if not lines:
        raise UserError(f"{named} {shown}: holds no line; give JSONL files, with an object on every line")
    first = next((line for line in lines if isinstance(line, Task)), lines[0])
    if isinstance(first, Unreadable):
        raise UserError(
            f"{named} {shown}: none of {len(lines)} lines could be read; {first.place}: {first.problem}. An array that "
            "spans the file must be made JSONL first, as by jq -c '.[]'"
        )
    return files


def _read_file(path: str, named: str) -> InstructionFile:
    try:
        opened = nullcontext(sys.stdin.buffer) if path == PIPE else open(path, "rb")
    except OSError as error:
        raise UserError(f"{named} {path}: cannot be read ({error.strerror}); give the path of a JSONL file") from None
    lines, has_output = list[Task | Unreadable](), False
    with opened as file:
        for number, (raw, whole) in enumerate(_raw_lines(file), start=1):
            place = f"{'stdin' if path == PIPE else path}:{number}"
            try:
                if not whole:
                    raise LineError(
                        "too_long", place, f"has over {LONGEST:,} bytes; is every object on a line of its own?"
                    )
                row = object_of(raw, place)
                if row is not None:
                    lines.append(_task(row, raw, place))
                    has_output = has_output or _has_output(row)
            except LineError as error:
                text = raw[:_SHOWN].decode("utf-8", "backslashreplace").strip()
                lines.append(Unreadable(place, error.reason, error.problem, text))
    return InstructionFile(path, lines, has_output)


def _raw_lines(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Each line, and whether it is whole; of one that is too long only the beginning is kept in memory."""
    first = True
    while line := file.readline(LONGEST + 1):
        part, whole = line, line.endswith(b"\n") or len(line) <= LONGEST
        while not whole and part and not part.endswith(b"\n"):
            part = file.readline(LONGEST + 1)
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line, whole
        first = False


def _task(row: dict[str, Any], raw: bytes, place: str) -> Task:
    about = row.get("provenance")
    names = [row.get("id"), about.get("id") if isinstance(about, dict) else None]
    name = next((str(name) for name in names if isinstance(name, str | int) and name != ""), place)
    task = task_of(row, place, place, whole=False)
    # Ids may stand twice in files from several sources; places do not.
    record = Record(place, task.instruction, task.input, task.output)
    return Task(record, name, raw.decode("utf-8").strip().encode("utf-8"))


def _has_output(row: dict[str, Any]) -> bool:
    instance = row["instances"][0] if "instances" in row else row
    return instance.get("output") is not None
