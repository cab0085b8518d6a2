"""Fixes for text faults that have one right answer. Applied in the order of `TEXTS`, they leave none of these faults."""

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
    """Replace Windows and old Mac line ends by line feeds."""
    return _LINE_END.sub("\n", text)


def without_controls(text: str) -> str:
    """Remove control characters, terminal colours and byte order marks; form feeds become line feeds."""
    return _CONTROLS.sub("", _FEEDS.sub("\n", _ANSI.sub("", text)))


def without_space(text: str) -> str:
    """Remove blank lines before the text, white space after it, and the indentation of its first line.

    If other lines are indented too, as in code, the first line keeps its indentation.
    """
    text = _LEADING_LINES.sub("", text.rstrip())
    _, *others = text.split("\n")
    return text if any(line[:1].isspace() for line in others if line.strip()) else text.lstrip()


def is_no_input(text: str) -> bool:
    """Return whether the text of an input is a placeholder for no input, such as "N/A"."""
    return _NO_INPUT.fullmatch(text.strip()) is not None


TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "line_ends": ("Windows or old Mac line ends", without_line_ends),
    "control_characters": ("control characters, terminal colours or byte order marks", without_controls),
    "surrounding_space": ("white space or blank lines around a text", without_space),
}
"""Faults of any text, each with a description and the function that fixes it."""

NO_INPUT = "no_input"
FIXED = (*TEXTS, NO_INPUT)
"""Names of the faults that can be fixed."""


def fixed(text: str, *, is_input: bool = False) -> tuple[str, list[str]]:
    """Return the text without these faults, and the names of those it had."""
    names = list[str]()
    for name, (_, fix) in TEXTS.items():
        better = fix(text)
        if better != text:
            names.append(name)
        text = better
    if is_input and is_no_input(text):
        return "", [*names, NO_INPUT]
    return text, names
