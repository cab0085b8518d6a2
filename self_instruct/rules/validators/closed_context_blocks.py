"""Render and parse closed-context questions in the block format of airoboros: texts with metadata, then an instruction.

    BEGININPUT
    BEGINCONTEXT
    date: 2021-01-01
    ENDCONTEXT
    The text.
    ENDINPUT
    BEGININSTRUCTION
    What is asked.
    ENDINSTRUCTION

There are one to four blocks before the instruction. Any text can be rendered, and `parse(render(x)) == x`: a line that is a
marker, or a marker after backslashes, gets one more backslash. Metadata has one pair per line; pairs that could not be parsed
back are refused.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_BLOCKS = 4
MARKERS = ("BEGININPUT", "BEGINCONTEXT", "ENDCONTEXT", "ENDINPUT", "BEGININSTRUCTION", "ENDINSTRUCTION")
_ESCAPED_MARKER = re.compile(rf"\\+(?:{'|'.join(MARKERS)})[ \t\r]*")


class ClosedContextError(ValueError):
    """The text does not have this format. `reason` is one word, `detail` the text at fault."""

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
            on_one_line = all(part == part.strip() and len(part.splitlines()) <= 1 for part in (key, value))
            if not key or ":" in key or not on_one_line:
                raise ClosedContextError(
                    "bad_metadata", f"{key!r}: {value!r} cannot be written as one line of 'key: value'"
                )


@dataclass(frozen=True)
class ClosedContext:
    """One to four blocks and an instruction. Raises ClosedContextError for another number of blocks."""

    blocks: tuple[Block, ...]
    instruction: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.blocks) <= MAX_BLOCKS:
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
    """Return a question as text, without a final line break."""
    return f"{render_blocks(context.blocks)}\nBEGININSTRUCTION\n{_escaped(context.instruction)}\nENDINSTRUCTION"


def render_blocks(blocks: Sequence[Block]) -> str:
    """Return only the blocks as text, as in the input of a record."""
    parts = []
    for block in blocks:
        pairs = "".join(f"{key}: {value}".rstrip(" ") + "\n" for key, value in block.metadata)
        parts.append(f"BEGININPUT\nBEGINCONTEXT\n{pairs}ENDCONTEXT\n{_escaped(block.text)}\nENDINPUT")
    return "\n".join(parts)


def parse(text: str) -> ClosedContext:
    """Parse a question; blank lines between its parts are skipped.

    Raises ClosedContextError: `no_block`, `too_many_blocks`, `unclosed`, `bad_metadata`, `no_instruction`, `text_outside`.
    """
    lines = _Lines(text)
    blocks = tuple(_blocks(lines))
    if not blocks:
        raise ClosedContextError("no_block", lines.current())
    lines.skip_blank()
    if not lines.skip_marker("BEGININSTRUCTION"):
        raise ClosedContextError("text_outside" if not lines.ended else "no_instruction", lines.current())
    instruction = lines.until("ENDINSTRUCTION")
    lines.skip_blank()
    if not lines.ended:
        raise ClosedContextError("text_outside", lines.current())
    return ClosedContext(blocks, instruction)


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Parse a text that consists only of blocks, as in the input of a record. Raises ClosedContextError as `parse` does."""
    lines = _Lines(text)
    blocks = tuple(_blocks(lines))
    lines.skip_blank()
    if not blocks or not lines.ended:
        raise ClosedContextError("text_outside" if blocks else "no_block", lines.current())
    return blocks


def _blocks(lines: "_Lines") -> Iterator[Block]:
    lines.skip_blank()
    while lines.skip_marker("BEGININPUT"):
        lines.skip_blank()
        if not lines.skip_marker("BEGINCONTEXT"):
            raise ClosedContextError("unclosed", f"BEGINCONTEXT is missing before {lines.current()!r}")
        metadata = lines.until("ENDCONTEXT")
        yield Block(lines.until("ENDINPUT"), tuple(_pairs(metadata)))
        lines.skip_blank()


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        key, colon, value = line.partition(":")
        if not colon or not key.strip():
            raise ClosedContextError("bad_metadata", f"{line.strip()[:80]!r} is not 'key: value'")
        yield key.strip(), value.strip()


class _Lines:
    """A reader of the lines of a text, from first to last."""

    def __init__(self, text: str) -> None:
        self._lines, self._at = text.split("\n"), 0

    @property
    def ended(self) -> bool:
        return self._at >= len(self._lines)

    def current(self) -> str:
        return "the end" if self.ended else self._lines[self._at].strip()[:80]

    def skip_blank(self) -> None:
        while not self.ended and not self._lines[self._at].strip():
            self._at += 1

    def skip_marker(self, marker: str) -> bool:
        """Skip the current line if it is the marker, and return whether it was."""
        found = not self.ended and self._lines[self._at].strip() == marker
        self._at += found
        return found

    def until(self, marker: str) -> str:
        """Return the text before the marker, and skip both.

        Raises ClosedContextError if another marker comes first or the text ends.
        """
        start = self._at
        while not self.ended:
            line = self._lines[self._at].rstrip(" \t\r")
            if line in MARKERS:
                if line != marker:
                    break
                self._at += 1
                return "\n".join(map(_unescaped, self._lines[start : self._at - 1]))
            self._at += 1
        raise ClosedContextError("unclosed", f"{marker} is missing before {self.current()!r}")


def _escaped(text: str) -> str:
    return "\n".join(f"\\{line}" if _is_marker(line) else line for line in text.split("\n"))


def _unescaped(line: str) -> str:
    return line[1:] if _ESCAPED_MARKER.fullmatch(line) else line


def _is_marker(line: str) -> bool:
    return line.rstrip(" \t\r") in MARKERS or _ESCAPED_MARKER.fullmatch(line) is not None
