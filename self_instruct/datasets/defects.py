"""Checks for faults of instruction data known from AlpacaDataCleaned and others: one function per fault, which returns the text
that shows it. A finding is a hint, not proof.

Duplicates need more than one record, so lint.py finds them.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from self_instruct.datasets.fences import pieces, prose_of
from self_instruct.datasets.mending import NO_INPUT, TEXTS, is_no_input
from self_instruct.records import Record
from self_instruct.rules.filters.output import drop_empty, drop_output_repeats_task
from self_instruct.rules.validators.arithmetic import arithmetic

_SHOWN = 60

_MERGED = re.compile(
    r"(?:^|(?<=\s))(?:\d{1,3}\.\s*Instruction|###\s*\d{1,3}\.?\s*(?:Instruction)?)\s*:", re.IGNORECASE
)
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"'`\\)\]}|]+", re.IGNORECASE)
_RESERVED = re.compile(
    r"(?:https?://)?(?:[\w-]+\.)*(?:(?:example|test|invalid|localhost)(?:\.(?:com|org|net))?|w3\.org|127\.0\.0\.1|0\.0\.0\.0)"
    r"(?=[:/?#]|$)",
    re.IGNORECASE,
)
_AS_AN_AI = re.compile(
    r"\bas an? (?:large |artificial |virtual )*(?:ai\b|artificial intelligence|language model|chat ?bot|machine learning model)"
    r"|\bI(?:'m| am) (?:just |only |merely )?an? (?:large |artificial )?(?:ai\b|language model|artificial intelligence)",
    re.IGNORECASE,
)
_NO_OUTPUT = re.compile(
    r"[<\[(]?\s*(?:n\.?/?a|no ?(?:output|answer|response)|not applicable|nan|tbd|todo)\s*[>\])]?\.?", re.IGNORECASE
)
_PICTURE = r"(?:image|picture|photo(?:graph)?|painting|screenshot|illustration|drawing)"
_IMAGE_TASK = re.compile(
    rf"(?<!docker )(?:\b(?:this|these|attached|given|following|above|below|provided|displayed) {_PICTURE}s?\b"
    rf"|\b{_PICTURE}s? (?:below|above|attached|shown)\b|\b(?:attached|shown|following|below) (?:chart|graph|figure|diagram)\b"
    rf"|\b(?:draw|sketch|generate|create|design) (?:me )?an? (?:\w+ ){{0,2}}{_PICTURE}\b|<image>|\[image\]"
    r"|!\[[^\]\n]*\]\([^)\s]+\))",
    re.IGNORECASE,
)
_NOT_PICTURES = re.compile(
    r"\b(?:docker\w*|container|disk|iso|system|boot|class|function|program|script|method)\b", re.IGNORECASE
)
_OPEN_END = re.compile(
    r"(?:[,(\[{:]|(?<=\s)[-–—&]"
    r"|\b(?:and|or|but|the|an|of|to|with|for|from|that|which|because|such as|including|by|into|its|their))\Z",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s*(?:[-*+•]|\d+[.)]|[A-Za-z][.)]|#|>|\|)")
_SENTENCES = re.compile(r"[a-z][a-z'’]+[.!?] +[A-Z][^.!?=]*\Z")
_TURN = re.compile(
    r"^(?:#{2,} ?(?:instruction|input|human|user|question)\b:?|(?:human|user|instruction) ?:"
    r"|<\|(?:im_start|user|start_header_id)\b|\[/?INST\])",
    re.IGNORECASE | re.MULTILINE,
)
_MIXED_UP = re.compile(
    r"(?:Ã[\x80-\xbf\u0152-\u02dc\u2013-\u2122]|Â[\x80-\xbf]|â€[\x80-\xbf\u0152-\u02dc\u2013-\u2122]|ðŸ|Ð[\x80-\xbf]Ð)"
)
_LOST = re.compile("[\ufffd\x80-\x84\x86-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Exchange(Record):
    """A task with its answer, and in a conversation the texts `before` it."""

    before: tuple[str, ...] = ()


Find = Callable[[Exchange], str | None]


@dataclass(frozen=True)
class Check:
    """A fault: a description, and the function that finds it in an exchange."""

    what: str
    find: Find


def texts_of(record: Record) -> tuple[str, str, str]:
    """Return instruction, input and output."""
    return record.instruction, record.input, record.output


def around(text: str, start: int, end: int) -> str:
    """Return a span of a text with some context, on one line."""
    return " ".join(text[max(0, start - _SHOWN // 2) : end + _SHOWN].split())


def _searched(pattern: re.Pattern[str], *parts: str) -> Find:
    """Return a check that searches these parts of a record for a pattern."""

    def find(record: Exchange) -> str | None:
        for part in parts:
            text = getattr(record, part)
            if (found := pattern.search(text)) is not None:
                return f"{part}: {around(text, found.start(), found.end())}"
        return None

    return find


def _changed(mend: Callable[[str], str]) -> Find:
    """Return a check for a text that `mend` would change; the finding is escaped."""

    def find(record: Exchange) -> str | None:
        for part, text in zip(("instruction", "input", "output"), texts_of(record), strict=True):
            better = mend(text)
            if better != text:
                at = next((at for at, (a, b) in enumerate(zip(text, better, strict=False)) if a != b), len(better))
                shown = text[max(0, at - 20) : at + 20]
                return f"{part}: {shown!r}"
        return None

    return find


def empty_instruction(record: Exchange) -> str | None:
    """Find an instruction without a letter or digit."""
    return repr(record.instruction[:_SHOWN]) if drop_empty(record) == "empty_instruction" else None


def empty_output(record: Exchange) -> str | None:
    """Find an output that is empty or blank."""
    return repr(record.output[:_SHOWN]) if not record.output.strip() else None


def empty_code(record: Exchange) -> str | None:
    """Find an empty code block."""
    found = next((piece for piece in pieces(record.output) if piece.is_empty_block), None)
    return found.text if found else None


def no_input(record: Exchange) -> str | None:
    """Find an input such as "N/A" or "No input required."."""
    return record.input if is_no_input(record.input) else None


def na_output(record: Exchange) -> str | None:
    """Find an output such as "N/A" or "no output"."""
    return record.output if _NO_OUTPUT.fullmatch(record.output.strip()) else None


def invented_url(record: Exchange) -> str | None:
    """Find a URL in the output that is in neither the task nor the earlier turns; addresses reserved for examples and XML
    namespaces are allowed.
    """
    if "//" not in record.output and "www." not in record.output:
        return None
    task = "\n".join([*record.before, record.task]).casefold()
    for found in _URL.finditer(record.output):
        url = found.group().rstrip(".,;:!?*_")
        bare = re.sub(r"^https?://", "", url, flags=re.IGNORECASE).rstrip("/")
        written_by_code = any(sign in bare.partition("/")[0] for sign in "{$%")
        if bare.casefold() not in task and not written_by_code and not _RESERVED.match(bare):
            return url[:200]
    return None


def truncated(record: Exchange) -> str | None:
    """Find an output that ends inside a sentence or a code block."""
    last = next(iter(deque(pieces(record.output), maxlen=1)), None)
    if last is None or (last.is_code and last.closed):
        return None
    if last.is_code:
        return f"the code block is not closed: {record.output[-_SHOWN:]}"
    text = record.output.rstrip()
    line = text[text.rfind("\n") + 1 :]
    words = len(line.split())
    open_end = words > 2 and _OPEN_END.search(line) and not (line.endswith((":", "{", "(", "[")) and words < 4)
    amid = not _LIST.match(line) and line[-1:].isalnum() and words > 7 and _SENTENCES.search(line[-2000:])
    return f"... {line[-_SHOWN:]}" if open_end or amid else None


def repeated_input(record: Exchange) -> str | None:
    """Find an output that repeats the input, the instruction or both."""
    return record.output[:_SHOWN] if record.output.strip() and drop_output_repeats_task(record) else None


def wrong_arithmetic(record: Exchange) -> str | None:
    """Find wrong arithmetic."""
    verdict = _ARITHMETIC(record, {})
    return verdict if isinstance(verdict, str) else None


def image_task(record: Exchange) -> str | None:
    """Find a task that refers to an image or asks for one."""
    found = _IMAGE_TASK.search(record.task)
    if found is None or (_NOT_PICTURES.search(record.task) and "![" not in found.group()):
        return None
    return around(record.task, found.start(), found.end())


def comma_end(record: Exchange) -> str | None:
    """Find an instruction that ends in a comma."""
    return record.instruction[-_SHOWN:] if record.instruction.rstrip().endswith((",", "、", "，")) else None


def merged_turns(record: Exchange) -> str | None:
    """Find a label of another turn in the output, unless the task has the same label."""
    text = prose_of(record.output)
    for found in _TURN.finditer(text):
        if found.group().casefold() not in record.task.casefold():
            return around(text, found.start(), found.end())
    return None


def mojibake(record: Exchange) -> str | None:
    """Find text decoded in the wrong encoding, or replacement characters."""
    for part, text in zip(("instruction", "input", "output"), texts_of(record), strict=True):
        found = _MIXED_UP.search(text) or _LOST.search(text)
        if found is not None:
            return f"{part}: {around(text, found.start(), found.end())}"
    return None


_ARITHMETIC = arithmetic()
CHECKS = {
    "merged_instructions": Check('another "N. Instruction:" within a text',
                                 _searched(_MERGED, "instruction", "input", "output")),
    "empty_instruction": Check("the instruction is empty", empty_instruction),
    "empty_output": Check("the output is empty", empty_output),
    "empty_code": Check("a code block is empty", empty_code),
    NO_INPUT: Check('the input is "N/A", "No input" or similar', no_input),
    "na_output": Check('the output is "N/A", "No output" or similar', na_output),
    "invented_url": Check("a URL in the output that is not in the task", invented_url),
    "as_an_ai": Check("the output calls itself an AI", _searched(_AS_AN_AI, "output")),
    "truncated": Check("the output ends inside a sentence or a code block", truncated),
    "repeated_input": Check("the output repeats the instruction or the input", repeated_input),
    "wrong_arithmetic": Check("wrong arithmetic", wrong_arithmetic),
    "image_task": Check("the task refers to an image or asks for one", image_task),
    "comma_end": Check("the instruction ends in a comma", comma_end),
    "merged_turns": Check("another turn begins within the output", merged_turns),
    "mojibake": Check("text in the wrong encoding, or replacement characters", mojibake),
    **{name: Check(what, _changed(mend)) for name, (what, mend) in TEXTS.items()},
}  # fmt: skip
DUPLICATE = "duplicate"
NAMES = (*CHECKS, DUPLICATE)
"""Names of all faults, including duplicates, which lint.py finds."""
