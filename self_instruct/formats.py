"""Render tasks as text and parse them: numbered blocks, in which a trigger word labels each field.

    1. Instruction:
    Add two numbers.

    1. Output:
    def add(a, b): ...
    ###

Rendering and parsing are inverse for any text and any order of the fields. A line of text that would be read as a label or
separator is escaped with a backslash when rendered and unescaped when parsed.

The parser is tolerant of model output: it finds labels anywhere and with any number, so that one broken block does not affect
the others. The filters check quality.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from self_instruct.records import Record

FieldName = Literal["instruction", "input", "output"]
SEPARATOR = "###"
NO_INPUT = "<noinput>"

_BLANK_LINE = re.compile(rf"[ \t\r]*(?:{SEPARATOR}[ \t\r]*)?(?:\n|\Z)")
_HEADING = r"(?:#{1,6}[ \t]+)?\*{0,2}"
_COLON = r"\*{0,2}[ \t]*:\*{0,2}"
_NO_INPUT_LIKE = re.compile(r"\\*<?no ?input>?\.?", re.IGNORECASE)
_LEADING_SPACE = re.compile(r"\\*\s")
_TRAILING_SPACE = re.compile(r"\s\\*\Z")


@dataclass(frozen=True)
class Block:
    """One block of a completion: its fields, or the reason why it could not be read. A block that lacks only its last field has
    both.

    `position` counts the blocks of a completion from 1; `text` is the block as the model wrote it.
    """

    position: int
    text: str
    fields: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class _Label:
    field: str
    number: str | None
    start: int
    end: int


@dataclass(frozen=True)
class RecordFormat:
    """The fields of a block, in order, and the trigger word of each.

    Raises ValueError if a trigger word is empty or used twice, starts with a digit or has spaces around it, or contains a line
    break or one of `:*\\`.
    """

    name: str
    triggers: tuple[tuple[FieldName, str], ...]

    def __post_init__(self) -> None:
        words = [word for _, word in self.triggers]
        for word in words:
            if not word.strip() or word != word.strip() or re.search(r"[\n\r:*\\]", word) or word[0].isdigit():
                raise ValueError(
                    f"trigger word {word!r} must be plain text without line break, colon, asterisk or backslash"
                )
        if len(set(words)) != len(words):
            raise ValueError(f"trigger words must be distinct, but they are {', '.join(words)}")

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """The names of the fields in the order of a block."""
        return tuple(name for name, _ in self.triggers)

    def with_triggers(self, **words: str | None) -> "RecordFormat":
        """Return the format with other trigger words, given by field name; None or an empty word keeps the current one."""
        return replace(self, triggers=tuple((name, words.get(name) or word) for name, word in self.triggers))

    def in_order(self, *names: FieldName) -> "RecordFormat":
        """Return the format with its fields in another order. Raises ValueError if the names are not its fields."""
        if sorted(names) != sorted(self.fields):
            raise ValueError(f"the fields are {', '.join(self.fields)}, which cannot be ordered as {', '.join(names)}")
        words = dict(self.triggers)
        return replace(self, triggers=tuple((name, words[name]) for name in names))

    # ---- rendering

    def render(self, record: Record, number: int) -> str:
        """Return the block of a record; without an input field, the input follows the instruction on a new line."""
        return "\n\n".join(self._parts(record, number)) + f"\n{SEPARATOR}\n"

    def open_block(self, number: int, record: Record | None = None) -> str:
        """Return the start of a block, for the model to continue.

        With a record, the block contains all its fields except the last, which the model writes.
        """
        name = self.triggers[0 if record is None else -1][1]
        return f"{self._shown(number, record)}{number}. {name}:\n"

    def _shown(self, number: int, record: Record | None) -> str:
        return "" if record is None else "".join(f"{part}\n\n" for part in self._parts(record, number)[:-1])

    def _parts(self, record: Record, number: int) -> list[str]:
        values = {"instruction": record.instruction, "input": record.input, "output": record.output}
        if "input" not in self.fields:
            values["instruction"] = record.task
        return [f"{number}. {word}:\n{self._escape(name, values[name])}" for name, word in self.triggers]

    def _escape(self, name: str, text: str) -> str:
        if name == "input":
            if not text:
                return NO_INPUT
            if _NO_INPUT_LIKE.fullmatch(text):
                return "\\" + text
        text = self._escapable.sub(r"\1\\\2", text)
        # The parser strips white space around a field; a backslash protects white space that belongs to the text.
        if _LEADING_SPACE.match(text):
            text = "\\" + text
        return text + "\\" if _TRAILING_SPACE.search(text) else text

    def _unescape(self, name: str, text: str) -> str:
        if name == "input" and _NO_INPUT_LIKE.fullmatch(text):
            return text[1:] if text.startswith("\\") else ""
        if text.startswith("\\") and _LEADING_SPACE.match(text):
            text = text[1:]
        if text.endswith("\\") and _TRAILING_SPACE.search(text):
            text = text[:-1]
        return self._escaped.sub(r"\1\2", text)

    @cached_property
    def _words(self) -> str:
        return "|".join(re.escape(word) for _, word in sorted(self.triggers, key=lambda item: -len(item[1])))

    @cached_property
    def _label(self) -> re.Pattern[str]:
        """Match a label at the start of a line: a number and a trigger word in any case, possibly as a heading or in bold; or
        the exact trigger word alone.
        """
        numbered = rf"{_HEADING}(\d{{1,6}})[ \t]*[.)]\*{{0,2}}[ \t]*\*{{0,2}}((?i:{self._words}))"
        return re.compile(rf"^[ \t]*(?:{numbered}|\*{{0,2}}({self._words})){_COLON}[ \t]*", re.MULTILINE)

    @cached_property
    def _label_or_separator(self) -> str:
        """A pattern for a label or separator, without indentation and groups."""
        numbered = rf"{_HEADING}\d{{1,6}}[ \t]*[.)]\*{{0,2}}[ \t]*\*{{0,2}}(?i:{self._words})"
        return rf"(?:{numbered}|\*{{0,2}}(?:{self._words})){_COLON}|{SEPARATOR}[ \t\r]*$"

    @cached_property
    def _escapable(self) -> re.Pattern[str]:
        return re.compile(rf"^([ \t]*)(\\*(?:{self._label_or_separator}))", re.MULTILINE)

    @cached_property
    def _escaped(self) -> re.Pattern[str]:
        return re.compile(rf"^([ \t]*)\\(\\*(?:{self._label_or_separator}))", re.MULTILINE)

    @cached_property
    def _label_begun(self) -> re.Pattern[str]:
        """Match text that stops within the label of the first field, as a truncated completion may."""
        word = self.triggers[0][1]
        begun = "|".join(re.escape(word[:length]) for length in range(len(word), 0, -1))
        return re.compile(rf"\s*(?:\d{{1,6}}[ \t]*(?:[.)][ \t]*)?(?:{begun})?|(?:{begun}))")

    # ---- parsing

    def parse(
        self, completion: str, number: int = 1, truncated: bool = False, record: Record | None = None
    ) -> list[Block]:
        """Parse a completion that continues `open_block(number, record)` into its blocks, readable or not, in order.

        `truncated` means that the completion reached the length limit: its last block is broken unless a separator closes it.
        Reasons: `empty_block`, `missing_<field>`, `repeated_<field>`, `cut_by_length`.
        """
        first = self._label.match(completion.lstrip())
        repeats_label = first is not None and self._field_of(first) == self.fields[0 if record is None else -1]
        if repeats_label:
            body = self._shown(number, record) + completion.lstrip()
        else:
            body = self.open_block(number, record) + completion
        spans = list(self._split(body))
        blocks = []
        for position, (start, end, closed) in enumerate(spans, start=1):
            text = body[start:end].strip()
            fields, reason = self._read(text)
            if truncated and not closed and position == len(spans):
                reason = "cut_by_length"
            whole = reason in (None, f"missing_{self.fields[-1]}")
            blocks.append(Block(position, text, fields if whole else {}, reason))
        return blocks

    def _field_of(self, match: re.Match[str]) -> str:
        found = match.group(2) or match.group(3)
        exact = (name for name, word in self.triggers if word == found)
        return next(exact, None) or next(name for name, word in self.triggers if word.lower() == found.lower())

    def _labels(self, text: str) -> list[_Label]:
        return [_Label(self._field_of(m), m.group(1), m.start(), m.end()) for m in self._label.finditer(text)]

    def _split(self, body: str) -> Iterator[tuple[int, int, bool]]:
        """Yield (start, end, closed) for each block; a separator line or the label of the next block closes it."""
        labels = self._labels(body)
        firsts = {label.start: label for label in labels if label.field == self.fields[0]}
        ends = self._separators(body, firsts)
        start: int | None = 0
        last_seen = False
        for place in sorted([*firsts, *ends, *(label.start for label in labels if label.field == self.fields[-1])]):
            if place in ends:
                if start is not None:
                    yield start, place, True
                start, last_seen = None, False
            elif place in firsts:
                # A first label without a number inside an unfinished block is text, as in "Instruction: add R1".
                if start is not None and place > start:
                    if firsts[place].number is None and not last_seen:
                        continue
                    yield start, place, True
                start, last_seen = place, False
            else:
                last_seen = True
        if start is not None and body[start:].strip():
            yield start, len(body), False

    def _separators(self, body: str, firsts: Container[int]) -> set[int]:
        """Return the start of each separator between blocks: those followed by a new block or by the end."""
        ends, rest, divides, written = set(), 0, False, len(body.rstrip())
        for separator in re.finditer(rf"^[ \t]*{SEPARATOR}[ \t\r]*$", body, re.MULTILINE):
            # Successive separators are followed by the same line: search for it once.
            if separator.end() > rest:
                rest = _skip_blank(body, separator.end())
                over = self._label_begun.fullmatch(body, rest, max(rest, written)) is not None
                divides = rest == len(body) or rest in firsts or over
            if divides:
                ends.add(separator.start())
        return ends

    def _read(self, text: str) -> tuple[dict[str, str], str | None]:
        """Return the fields of one block and None, or the fields found so far and the reason why it is broken."""
        labels = self._labels(text)
        opening = labels[0]
        for numbered_only in (opening.number is not None, False):
            chosen, reason = self._choose(labels, opening, numbered_only)
            if reason is None or not reason.startswith("missing"):
                break
        fields = {}
        for label, following in zip(chosen, [*chosen[1:], None], strict=True):
            raw = text[label.end : following.start if following else len(text)]
            fields[label.field] = self._unescape(label.field, raw.strip())
        if len(chosen) == 1 and not fields[opening.field]:
            reason = "empty_block"
        return fields, reason

    def _choose(self, labels: list[_Label], opening: _Label, numbered_only: bool) -> tuple[list[_Label], str | None]:
        """Return the labels that start the fields of a block, and why it is broken, or None; other labels are text."""
        chosen, reason = [opening], None
        for label in labels[1:]:
            at, reached = self.fields.index(label.field), self.fields.index(chosen[-1].field)
            if numbered_only and label.number is None:
                continue
            if at == reached + 1 or (at > reached and label.number == opening.number is not None):
                chosen.append(label)
            elif label.number is not None and label.number == opening.number and at > 0:
                return chosen, f"repeated_{label.field}"
        missing = [name for name in self.fields if name not in {label.field for label in chosen}]
        if missing:
            reason = f"missing_{missing[0]}"
        return chosen, reason


def _skip_blank(text: str, at: int) -> int:
    """Return the start of the next line that is neither blank nor a separator, or the end of the text."""
    while at < len(text) and (match := _BLANK_LINE.match(text, at)):
        at = match.end()
    return at


INSTRUCTION_OUTPUT = RecordFormat("instruction_output", (("instruction", "Instruction"), ("output", "Output")))
INSTRUCTION_INPUT_OUTPUT = RecordFormat(
    "instruction_input_output", (("instruction", "Instruction"), ("input", "Input"), ("output", "Output"))
)

FORMATS = {item.name: item for item in (INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT)}
