"""Faults of a text that have one right answer, and that answer. Applied in the order of the table, none of them is left.

Knows nothing of files and conversations.
"""

import re
from collections.abc import Callable

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufeff]")
_FEEDS = re.compile(r"[\x0b\x0c]")
_LINE_END = re.compile(r"\r\n?")
_LEADING_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
_NO_INPUT = re.compile(
    r"[<\[({]?\s*(?:no[ _-]?input|n/a|not applicable|no (?:additional |further |specific )?inputs?"
    r"(?: is)?(?: (?:required|needed|necessary|provided|given|available))?|input: none)\s*[>\])}]?\.?",
    re.IGNORECASE,
)


def without_line_ends(text: str) -> str:
    """The text with a line feed where Windows or an old Mac ended lines."""
    return _LINE_END.sub("\n", text)


def without_controls(text: str) -> str:
    """The text without control characters: terminal colours and byte order marks go, form feeds are ends of lines."""
    return _CONTROLS.sub("", _FEEDS.sub("\n", _ANSI.sub("", text)))


def without_space(text: str) -> str:
    """The text without blank lines before it, and white space after it or before its first word.

    A first line that is indented stays so where others are too: the lines of code belong together.
    """
    text = _LEADING_LINES.sub("", text.rstrip())
    _, *others = text.split("\n")
    return text if any(line[:1].isspace() for line in others if line.strip()) else text.lstrip()


def is_no_input(text: str) -> bool:
    """Whether the text of an input says that there is none."""
    return _NO_INPUT.fullmatch(text.strip()) is not None


TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "line_ends": ("lines end as Windows or an old Mac ends them", without_line_ends),
    "control_characters": ("control characters, terminal colours or byte order marks", without_controls),
    "surrounding_space": ("white space or blank lines around a text", without_space),
}
"""What is asked of every text: the fault in words, and the text without it."""

NO_INPUT = "no_input"
MENDED = (*TEXTS, NO_INPUT)
"""What has one right answer, by name."""


def mended(text: str, *, is_input: bool = False) -> tuple[str, list[str]]:
    """The text without these faults, and the names of those that it had."""
    names = list[str]()
    for name, (_, mend) in TEXTS.items():
        better = mend(text)
        if better != text:
            names.append(name)
        text = better
    if is_input and is_no_input(text):
        return "", [*names, NO_INPUT]
    return text, names
