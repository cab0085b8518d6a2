"""Fenced code blocks of Markdown: which lines of a text are code. An unclosed block extends to the end."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"[ \t]*+(?:[-*+] |\d++[.)] )?+[ \t]*+(?P<fence>`{3,}+|~{3,}+)(?P<info>[^`\n]*)$")


@dataclass(frozen=True)
class Piece:
    """Consecutive lines of a text: prose, or a code block with its fences. `closed` applies to blocks only."""

    text: str
    is_code: bool
    closed: bool = True

    @property
    def is_empty_block(self) -> bool:
        """Whether the piece is a block with only white space between the fences."""
        return self.is_code and self.closed and not "".join(self.text.splitlines()[1:-1]).strip()


def pieces(text: str) -> Iterator[Piece]:
    """Split a text into prose and code blocks. The joined pieces equal the text."""
    lines, fence = list[str](), ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line.rstrip("\r\n"))
        if found and not fence:
            if lines:
                yield Piece("".join(lines), False)
            lines, fence = [line], found["fence"]
            continue
        lines.append(line)
        if found and fence and found["fence"].startswith(fence) and not found["info"].strip():
            yield Piece("".join(lines), True)
            lines, fence = [], ""
    if lines:
        yield Piece("".join(lines), bool(fence), not fence)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to its prose."""
    return "".join(piece.text if piece.is_code else change(piece.text) for piece in pieces(text))


def prose_of(text: str) -> str:
    """Return the text without its code blocks."""
    return "".join(piece.text for piece in pieces(text) if not piece.is_code)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the code blocks of a text: the first word after the fence in lower case, and the lines between the fences."""
    for piece in pieces(text):
        if piece.is_code:
            first, *lines = piece.text.splitlines()
            words = first.strip().lstrip("-*+`~0123456789.) ").lower().split()
            yield words[0] if words else "", "\n".join(lines[:-1] if piece.closed else lines)
