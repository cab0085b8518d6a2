"""Random input for every reader of text from models, servers and users, with the property that each reader must have.

An input is a random sequence of fragments of the reader's grammar, or a damaged sample. `benchmarks/fuzz.py` runs this as long
as you like, and `tests/test_fuzz.py` briefly.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from self_instruct.config.thought_tags import thought_tags
from self_instruct.datasets.convert import Target as Output
from self_instruct.datasets.convert import convert
from self_instruct.datasets.reading import Source
from self_instruct.engines.server.answers import BadAnswer, error_message, read_answer
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS
from self_instruct.generation.config import parse_arguments
from self_instruct.generation.task_lists import listed_tasks
from self_instruct.records import Record
from self_instruct.review.judge import read_judgement
from self_instruct.review.predictions import Prediction
from self_instruct.runs import manifest
from self_instruct.runs.journal import Entry, Journal, read_journal
from tests.formats.test_splitting_blocks import check_conserved, fields_of, read
from tests.support.dataset_files import CONTENT
from tests.support.runs import ROOT

MOST_SECONDS, PER_MEGABYTE = 2.0, 20.0  # of CPU time
_NUMBERS, _NUMBERS_SECONDS = 2_000_000, 0.15  # work of a known length, and the CPU time that it takes
ODD = ("\x00", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\U0001f600", "\u202e", "é", "\u0663", "²", "\r", "\r\n", "\t", " ",
       "\n\n")  # fmt: skip


class Slow(Exception):
    """A target took longer than its bound."""


@dataclass(frozen=True)
class Target:
    """A reader to try: `check` raises if its property fails; input is made from fragments and whole samples."""

    check: Callable[[bytes, Path], object]
    fragments: Sequence[str]
    samples: Sequence[str] = ()


def input_of(target: Target, rng: random.Random) -> bytes:
    """Return an input: a damaged sample, or fragments in random order, sometimes one repeated many times."""
    fragments = [*target.fragments, *ODD]
    if target.samples and rng.random() < 0.6:
        return damaged(rng.choice(target.samples).encode("utf-8", "replace"), fragments, rng)
    parts = rng.choices(fragments, k=rng.randint(0, 60))
    if rng.random() < 0.1:
        parts += [rng.choice(fragments) + rng.choice(fragments)] * rng.randint(1, 5000)
        rng.shuffle(parts)
    content = "".join(parts).encode("utf-8", "replace")
    return damaged(content, fragments, rng) if rng.random() < 0.3 else content


def damaged(content: bytes, fragments: Sequence[str], rng: random.Random) -> bytes:
    """Return a content with a few changes: bytes replaced, a piece removed, repeated or moved, a fragment inserted."""
    for _ in range(rng.randint(1, 6)):
        begin = rng.randint(0, len(content))
        end = min(len(content), begin + int(rng.expovariate(0.05)))
        kind = rng.randrange(6)
        if kind == 0:
            content = content[:begin] + rng.randbytes(min(4, end - begin)) + content[end:]
        elif kind == 1:
            content = content[:begin] + content[end:]
        elif kind == 2:
            content = content[:end] + content[begin:end] * rng.randint(1, 20) + content[end:]
        elif kind == 3:
            content = content[begin:end] + content[:begin] + content[end:]
        elif kind == 4:
            content = content[:begin] + rng.choice(fragments).encode("utf-8", "replace") + content[end:]
        elif rng.random() < 0.3:
            content = content[:begin]
    return content


def checked(target: Target, content: bytes, folder: Path) -> None:
    """Check the property for an input. Raises the error of the check, or `Slow`.

    The bound is for a machine as fast as ours: what exceeds it is compared with work of a known length, in three tries.
    """
    most = MOST_SECONDS + PER_MEGABYTE * len(content) / 2**20
    for _ in range(3):
        seconds = _seconds(lambda: target.check(content, folder))
        if seconds <= most or seconds <= most * slowness():
            return
    raise Slow(f"{seconds:.1f} s for {len(content):,} bytes, more than {most:.1f}")


def slowness() -> float:
    """Return how many times longer this machine takes at the moment than ours, which is idle, takes; at least 1."""
    return max(1.0, _seconds(lambda: sum(len(str(number)) for number in range(_NUMBERS))) / _NUMBERS_SECONDS)


def _seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of this process for some work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


# Code fences and horizontal rules may separate blocks.
_LAYOUT = r"(?m)^[^\S\n]*(?:```[\w+#.-]{0,30}|-{3,}|\*{3,})[^\S\n]*$|[\s#]"


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def blocks(content: bytes, folder: Path) -> None:
    """Check that no letter of a completion is lost, and that a record of any text is read back."""
    # The parser drops the beginning of a label at the end of a text, so the input ends with another word.
    text = f"task {_text(content)}\nend"
    for format in FORMATS.values():
        for truncated in (False, True):
            check_conserved(format, text, 5, truncated, _LAYOUT)
        record = Record("x", text, text, text)
        assert read(format.parse(format.render(record, 3), 3)) == [fields_of(format, record)], "not read back"


def task_lists(content: bytes, folder: Path) -> None:
    for reason in ("stop", "length"):
        for with_input in (False, True):
            assert listed_tasks(with_input, _entry(_text(content), reason)), "no verdict for a reply"


def thoughts(content: bytes, folder: Path) -> None:
    text = _text(content)
    turn = thought_tags().read(text, None)
    assert len(turn.answer) + len(turn.thought or "") <= len(text)


def judgements(content: bytes, folder: Path) -> None:
    text = _text(content)
    about = ("m", "r", {}, "h", "p", [], text, "stop", 1, 1, 0, None)
    names = [name for name in Prediction.__dataclass_fields__]
    found = read_judgement(
        Prediction(**dict(zip(names, ("1", "s", 0, text, None, None, None, None, *about), strict=False)))
    )
    assert (found.verdict == "unknown") == (found.reason is not None)


def answers(content: bytes, folder: Path) -> None:
    """Check that an answer of a server is read or raises BadAnswer, and never another error."""
    for chat in (False, True):
        with suppress(BadAnswer):
            assert read_answer(content, chat, str).choices
    assert len(error_message(content, str)) <= 400


def datasets(content: bytes, folder: Path) -> None:
    """Check that every row of a file is written or rejected."""
    for suffix in (".json", ".jsonl", ".txt", ".csv"):
        source, output = folder / f"in{suffix}", folder / "out.jsonl"
        source.write_bytes(content)
        output.unlink(missing_ok=True)
        with suppress(UserError):
            (counts,), _ = convert([Source(str(source))], Output("jsonl", str(output)), {})
            written = output.read_bytes().count(b"\n")
            assert counts.tally.kept == written, f"{written} rows, {counts.tally.kept} counted"
            assert counts.tally.kept + counts.tally.drops.total() == counts.tally.total


def configs(content: bytes, folder: Path) -> None:
    """Check that a YAML file is read or raises UserError."""
    path = folder / "run.yaml"
    path.write_bytes(content)
    with suppress(UserError):
        parse_arguments(["--config", str(path)], "")
    with suppress(UserError):
        manifest.read(folder)


def journals(content: bytes, folder: Path) -> None:
    """Check that every whole line of a journal is an entry, or moved to the quarantine file."""
    for name in ("completions.jsonl", "completions.quarantine.jsonl"):
        (folder / name).unlink(missing_ok=True)
    path = folder / "completions.jsonl"
    path.write_bytes(content)
    with suppress(UserError):
        before = read_journal(folder)
        Journal(folder).close()
        assert read_journal(folder) == before
        moved = folder / "completions.quarantine.jsonl"
        kept = sorted(path.read_bytes().splitlines() + (moved.read_bytes().splitlines() if moved.exists() else []))
        whole = content[: content.rfind(b"\n") + 1]
        assert kept == sorted(whole.splitlines()), "a line is lost"


def _entry(text: str, reason: str) -> Entry:
    return Entry(0, ["a"], [], 0, "x", text, reason, 1, 1, 0, None)


_JSON = (
    '{"',
    '": ',
    ", ",
    "}",
    "[",
    "]",
    "null",
    "true",
    "1e999",
    "-0",
    "9" * 30,
    '"',
    "\\u0000",
    "\\ud800",
    '\\"',
    "\\",
    "NaN",
)
_BLOCKS = ("1. Instruction:\n", "5. Input:\n", "1. Output:\n", "###\n", "### ", "\n", "2.", "**", "Output:", "Sort it.",
           "```\n", "\\", "5. ", "<noinput>", "Instruction:")  # fmt: skip
_LISTS = (
    "1. ",
    "2) ",
    "- ",
    "* ",
    "Task 3:",
    "**Input:** ",
    "Answer: ",
    "\n",
    "---\n",
    "Sort it.",
    "10. ",
    "```\n",
    "## 1. ",
)
_TAGS = (
    "<think>",
    "</think>",
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "<thought>",
    "Sort it.",
    "\n",
    "<",
    "[THINK]",
)
_SCORES = (
    "helpful: 5",
    "correct: ",
    "clear: 3",
    "verdict: good",
    "verdict:",
    "5/5",
    "4.5",
    ", ",
    "\n",
    "**",
    "bad",
    "verdict",
)
_YAML = ("seed: ", "temperature: ", "!!python/object:os.system ", "&a ", "*a", "- ", ": ", "{", "}", "[", "]", "|\n", ">\n",
         "? ", "1:30:00", "0x1F", "1e300", ".inf", "9" * 400, "'", '"', "<<: ", "\n", "  ", "options:\n", "~", "null",
         "%YAML 1.1\n---\n", "model_name_or_path: ", "filter_keywords: ", "trigger: ", "categories: ")  # fmt: skip
_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
_MESSAGE = {"role": "assistant", "content": "a", "reasoning": "b"}
_ANSWERS = [
    json.dumps({"choices": [{"index": 0, "text": "Sort it.", "finish_reason": "stop"}], "usage": _USAGE}),
    json.dumps({"choices": [{"index": 1, "finish_reason": "length", "message": _MESSAGE}]}),
    json.dumps(
        {"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}], "usage": {"prompt_tokens": -1}}
    ),
    json.dumps({"error": {"message": "no", "code": 502}}),
]
_LINES = "".join(
    json.dumps({**vars(_entry("Sort\nit.", "stop")), "request": at, "usage": _USAGE if at % 2 else None}) + "\n"
    for at in range(6)
)
TARGETS = {
    "blocks": Target(blocks, _BLOCKS),
    "task_lists": Target(task_lists, _LISTS),
    "thoughts": Target(thoughts, _TAGS),
    "judgements": Target(judgements, _SCORES, ["helpful: 5, correct: 4, clear: 3\nverdict: good"]),
    "answers": Target(answers, (*_JSON, "choices", "message", "content", "usage", "text"), _ANSWERS),
    "datasets": Target(datasets, (*_JSON, "instruction", "output", "conversations", ",", "\n"),
                       [text for text in CONTENT.values() if isinstance(text, str)]),
    "configs": Target(configs, _YAML, [path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))]
                      + [yaml.safe_dump({"options": {"seed": 1}, "format": "instruction_output"})]),
    "journals": Target(journals, (*_JSON, "request", "text", "\n"), [_LINES]),
}  # fmt: skip
