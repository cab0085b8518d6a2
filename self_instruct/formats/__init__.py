"""Render tasks as text and parse them: numbered blocks, in which a trigger word labels each field.

    1. Instruction:
    Add two numbers.

    1. Output:
    def add(a, b): ...
    ###

Rendering and parsing are inverse for any text and any order of the fields. A line of text that would be read as a label or
separator is escaped with a backslash when rendered and unescaped when parsed.

The parser is tolerant of model output: it finds labels anywhere and with any number, so that one broken block does not affect
the others. Labels in other forms than shown, and an answer without a label, are read where a field would be missing. Text
behind a separator that has no label is a block of its own, with a reason. The parser does not check quality; the filters do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from self_instruct.formats.edges import FENCE, SEPARATOR, protect, trim, unprotect
from self_instruct.formats.labels import UNUSUAL, Label, Labels
from self_instruct.formats.pattern import blocks_pattern
from self_instruct.formats.splitting import split
from self_instruct.formats.unlabelled import split_answer
from self_instruct.records import Record

FieldName = Literal["instruction", "input", "output"]
NO_INPUT = "<noinput>"

_LEADING_FENCE = re.compile(rf"\s*(?:{FENCE}[ \t\r]*\n\s*)?")
_NO_INPUT_LIKE = re.compile(r"\\*[<(\[]?(?:no ?input|none|n/a|not applicable)[>)\]]?\.?", re.IGNORECASE)
_NO_INPUT_PARAGRAPH = re.compile(r"<?no ?input>?\.?[ \t\r]*\n\s*\n\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """One block of a completion: its fields, or the reason why it could not be read. A block whose last field alone is missing
    or cut off has both: the other fields and the reason.

    `position` counts the blocks of a completion from 1; `text` is the block as the model wrote it.
    """

    position: int
    text: str
    fields: dict[str, str] = field(default_factory=dict)
    reason: str | None = None


def _problem_of(word: str) -> str | None:
    """Return why a word cannot be a trigger word, or None."""
    if not word.strip():
        return "is empty"
    if word != word.strip():
        return "has spaces around it"
    if word[0].isdigit():
        return "begins with a digit, like the number of a task"
    if re.search(r"[\n\r:*\\]", word):
        return "must be plain text without line break, colon, asterisk or backslash"
    return None


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
            if problem := _problem_of(word):
                raise ValueError(f"trigger word {word!r} {problem}")
        if len(set(words)) != len(words):
            raise ValueError(f"trigger words must be distinct, but they are {', '.join(words)}")

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """The names of the fields in the order of a block."""
        return tuple(name for name, _ in self.triggers)

    def with_triggers(
        self, *, instruction: str | None = None, input: str | None = None, output: str | None = None
    ) -> "RecordFormat":
        """Return the format with other trigger words; None keeps the current one. A word for a field that the format does not
        have is ignored, because the categories of a run may have different fields.
        """
        given = {"instruction": instruction, "input": input, "output": output}
        words = {name: word for name, word in given.items() if word is not None}
        return replace(self, triggers=tuple((name, words.get(name, word)) for name, word in self.triggers))

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

    def pattern(self, last_only: bool = False) -> str:
        """Return the pattern of completions of an open block that are parsed into whole blocks.

        With `last_only`, the open block shows all its fields except the last, and the completion ends it.
        """
        return blocks_pattern(self._labels, last_only)

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
        return protect(self._labels.escapable.sub(r"\1\\\2", text))

    def _unescape(self, name: str, text: str) -> str:
        if name == "input" and _NO_INPUT_LIKE.fullmatch(text):
            return text[1:] if text.startswith("\\") else ""
        return self._labels.escaped.sub(r"\1\2", unprotect(text))

    @cached_property
    def _labels(self) -> Labels:
        return Labels(self.triggers)

    # ---- parsing

    def parse(
        self, completion: str, number: int = 1, truncated: bool = False, record: Record | None = None
    ) -> list[Block]:
        """Parse a completion that continues `open_block(number, record)` into its blocks, readable or not, in order.

        `truncated` means that the completion reached the length limit: its last block is then broken unless it is closed.
        Reasons: `empty_block`, `missing_<field>`, `repeated_<field>`, `unlabelled`, `cut_by_length`.
        """
        written = completion[_LEADING_FENCE.match(completion).end() :]  # type: ignore[union-attr]
        first = self._labels.match(written)
        if first is not None and first.field == self.fields[0 if record is None else -1]:
            body = self._shown(number, record) + written
        else:
            body = self.open_block(number, record) + completion
        spans = list(split(body, self._labels))
        blocks = []
        for position, (start, end, closed) in enumerate(spans, start=1):
            text = body[start:end].strip()
            fields, reason = self._read(text)
            usable = reason in (None, f"missing_{self.fields[-1]}")
            if truncated and not closed and position == len(spans):
                usable, reason = reason is None and self.fields[-1] == "output", "cut_by_length"
                fields.pop(self.fields[-1], None)
            blocks.append(Block(position, text, fields if usable else {}, reason))
        return blocks

    def _read(self, text: str) -> tuple[dict[str, str], str | None]:
        """Return the fields of one block and None, or the fields found so far and the reason why it is broken."""
        labels = self._labels.find(text)
        if not labels or labels[0].start > 0 or labels[0].field != self.fields[0]:
            return {}, f"missing_{self.fields[0]}" if labels else "unlabelled"
        chosen, reason = self._choose_best(labels)
        fields, without_output = {}, reason == "missing_output" and self.fields[-1] == "output"
        for label, following in zip(chosen, [*chosen[1:], None], strict=True):
            raw = trim(text[label.end : following.start if following else len(text)])
            if following is None and without_output and (parts := self._split_answer(label.field, raw)):
                raw, reason = parts[0], None
                fields["output"] = self._unescape("output", parts[1])
            fields[label.field] = self._unescape(label.field, raw)
        if "input" in self.fields and reason is None:
            fields.setdefault("input", "")
        if len(fields) == 1 and not any(fields.values()):
            reason = "empty_block"
        return fields, reason

    def _choose_best(self, labels: list[Label]) -> tuple[list[Label], str | None]:
        """Return the labels that divide a block, and the reason why it is broken.

        The surest labels that give all fields are taken. An input that no label announces is empty.
        """
        tries: list[tuple[list[Label], str | None]] = []
        for may_skip in (False, True):
            for rank in range(labels[0].rank, UNUSUAL + 1):
                chosen, reason = self._choose([label for label in labels if label.rank <= rank], may_skip)
                if reason is None and len(chosen) == len(self.fields):
                    return chosen, None
                if not tries and reason is not None and not reason.startswith("missing"):
                    return chosen, reason
                tries.append((chosen, reason))
            if whole := next((item for item in tries if item[1] is None), None):
                return whole
        return tries[0]

    def _choose(self, labels: Sequence[Label], may_skip: bool) -> tuple[list[Label], str | None]:
        """Return the labels that divide a block, and the reason why it is broken; other labels are part of the text.

        A field may be skipped by a label with the number of the block, or by any label with `may_skip`.
        """
        opening = labels[0]
        chosen, reason = [opening], None
        for label in labels[1:]:
            at, reached = self.fields.index(label.field), self.fields.index(chosen[-1].field)
            same = label.shares_number(opening)
            if at == reached + 1 or (at > reached and (same or may_skip)):
                chosen.append(label)
            elif same and at > 0:
                return chosen, f"repeated_{label.field}"
        found = {label.field for label in chosen}
        missing = [name for name in self.fields if name not in found and not (name == "input" and "output" in found)]
        if missing:
            reason = f"missing_{missing[-1] if missing[-1] == self.fields[-1] else missing[0]}"
        return chosen, reason

    def _split_answer(self, field: str, raw: str) -> tuple[str, str] | None:
        """Return the field and the answer below it, or None. Below an input, only code is taken for an answer."""
        if field == "input" and (none := _NO_INPUT_PARAGRAPH.match(raw)):
            return NO_INPUT, raw[none.end() :]
        parts = split_answer(raw, code_only=field == "input")
        # What is behind a separator has no label.
        return None if parts is None or trim(parts[0]) != parts[0] else parts


INSTRUCTION_OUTPUT = RecordFormat("instruction_output", (("instruction", "Instruction"), ("output", "Output")))
INSTRUCTION_INPUT_OUTPUT = RecordFormat(
    "instruction_input_output", (("instruction", "Instruction"), ("input", "Input"), ("output", "Output"))
)

FORMATS = {item.name: item for item in (INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT)}
