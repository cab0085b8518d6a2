"""Closed-context questions in the block format of airoboros: texts with metadata, and an instruction about them.

    BEGININPUT
    BEGINCONTEXT
    date: 2021-01-01
    ENDCONTEXT
    The text.
    ENDINPUT
    BEGININSTRUCTION
    What is asked.
    ENDINSTRUCTION

There are one to four blocks, then the instruction. Any text can be rendered, and `parse(render(x)) == x`: a line that is a
marker, with or without backslashes before it, is written with one more backslash. Metadata has one pair a line, and is refused
if it could not be parsed back.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_BLOCKS = 4
MARKERS = ("BEGININPUT", "BEGINCONTEXT", "ENDCONTEXT", "ENDINPUT", "BEGININSTRUCTION", "ENDINSTRUCTION")
_ESCAPED = re.compile(rf"\\+(?:{'|'.join(MARKERS)})[ \t\r]*")


class ClosedContextError(ValueError):
    """The text does not have this format: the reason in one word, and the offending text."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Block:
    """A text and its metadata, as pairs of key and value in order.

    Raises ClosedContextError for a key that is empty or contains a colon, and for a key or value of several lines or with
    surrounding white space.
    """

    text: str
    metadata: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for key, value in self.metadata:
            whole = all(part == part.strip() and len(part.splitlines()) <= 1 for part in (key, value))
            if not key or ":" in key or not whole:
                raise ClosedContextError(
                    "bad_metadata", f"{key!r}: {value!r} cannot be written as one line of 'key: value'"
                )


@dataclass(frozen=True)
class ClosedContext:
    """One to four blocks and an instruction. Raises ClosedContextError for another number of blocks."""

    blocks: tuple[Block, ...]
    instruction: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.blocks) <= MOST_BLOCKS:
            raise ClosedContextError("too_many_blocks" if self.blocks else "no_block", str(len(self.blocks)))

    @property
    def text(self) -> str:
        """The texts of all blocks."""
        return "\n".join(block.text for block in self.blocks)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """The metadata of all blocks."""
        return [pair for block in self.blocks for pair in block.metadata]


def render(context: ClosedContext) -> str:
    """Render a question, without a final line break."""
    return f"{render_blocks(context.blocks)}\nBEGININSTRUCTION\n{_guarded(context.instruction)}\nENDINSTRUCTION"


def render_blocks(blocks: Sequence[Block]) -> str:
    """Render only the blocks, as in a record's input."""
    parts = []
    for block in blocks:
        pairs = "".join(f"{key}: {value}".rstrip(" ") + "\n" for key, value in block.metadata)
        parts.append(f"BEGININPUT\nBEGINCONTEXT\n{pairs}ENDCONTEXT\n{_guarded(block.text)}\nENDINPUT")
    return "\n".join(parts)


def parse(text: str) -> ClosedContext:
    """Parse a text that has this format throughout; blank lines between its parts are skipped.

    Raises ClosedContextError: `no_block`, `too_many_blocks`, `unclosed`, `bad_metadata`, `no_instruction`, `text_outside`.
    """
    lines = _Lines(text)
    blocks = tuple(_blocks(lines))
    if not blocks:
        raise ClosedContextError("no_block", lines.shown())
    lines.skip_blank()
    if not lines.at_marker("BEGININSTRUCTION"):
        raise ClosedContextError("text_outside" if not lines.ended else "no_instruction", lines.shown())
    instruction = lines.until("ENDINSTRUCTION")
    lines.skip_blank()
    if not lines.ended:
        raise ClosedContextError("text_outside", lines.shown())
    return ClosedContext(blocks, instruction)


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Parse a text of blocks only, as in a record's input. Raises ClosedContextError as `parse` does."""
    lines = _Lines(text)
    blocks = tuple(_blocks(lines))
    lines.skip_blank()
    if not blocks or not lines.ended:
        raise ClosedContextError("text_outside" if blocks else "no_block", lines.shown())
    return blocks


def _blocks(lines: "_Lines") -> Iterator[Block]:
    lines.skip_blank()
    while lines.at_marker("BEGININPUT"):
        lines.skip_blank()
        if not lines.at_marker("BEGINCONTEXT"):
            raise ClosedContextError("unclosed", f"BEGINCONTEXT is expected, not {lines.shown()!r}")
        metadata = lines.until("ENDCONTEXT")
        yield Block(lines.until("ENDINPUT"), tuple(_pairs(metadata)))
        lines.skip_blank()


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        key, colon, value = line.partition(":")
        if not colon or not key.strip():
            raise ClosedContextError("bad_metadata", f"{line.strip()[:80]!r} is no 'key: value'")
        yield key.strip(), value.strip()


class _Lines:
    """The lines of a text, read once from first to last."""

    def __init__(self, text: str) -> None:
        self._lines, self._at = text.split("\n"), 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._lines)

    def shown(self) -> str:
        return "the end" if self.ended else self._lines[self._at].strip()[:80]

    def skip_blank(self) -> None:
        while not self.ended and not self._lines[self._at].strip():
            self._at += 1

    def at_marker(self, marker: str) -> bool:
        """Return whether the current line is the marker, and skip it if so."""
        found = not self.ended and self._lines[self._at].strip() == marker
        self._at += found
        return found

    def until(self, marker: str) -> str:
        """Return the text up to the marker. Raises ClosedContextError if another marker comes first, or none comes."""
        start = self._at
        while not self.ended:
            line = self._lines[self._at].rstrip(" \t\r")
            if line in MARKERS:
                if line != marker:
                    break
                self._at += 1
                return "\n".join(map(_bared, self._lines[start : self._at - 1]))
            self._at += 1
        raise ClosedContextError("unclosed", f"{marker} is missing before {self.shown()!r}")


def _guarded(text: str) -> str:
    return "\n".join(f"\\{line}" if _is_marker(line) else line for line in text.split("\n"))


def _bared(line: str) -> str:
    return line[1:] if _ESCAPED.fullmatch(line) else line


def _is_marker(line: str) -> bool:
    return line.rstrip(" \t\r") in MARKERS or _ESCAPED.fullmatch(line) is not None
