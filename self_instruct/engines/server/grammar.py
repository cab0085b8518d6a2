"""Translate the pattern of a request into a grammar in GBNF, the notation of llama.cpp.

A pattern has literal text, classes, groups, alternatives and repetition, and GBNF has the same, so each part is translated
by itself.
"""

import re

_PART = re.compile(
    r"(?P<group>\(\?:)|(?P<class>\[\^?(?:\\.|[^\\\]])+\])|(?P<operator>[)|*+?]|\{\d+(?:,\d*)?\})|(?P<literal>\\.|[^()\[\]{}|*+?.^$\\])",
    re.DOTALL,
)
_IN_CLASS = re.compile(r"\\.|.", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r"}
# What \s stands for in Python.
_SPACE = r"\x09-\x0D\x1C-\x20\x85\xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"


def gbnf(pattern: str) -> str:
    """Return a grammar that has the texts that match the pattern. Raises ValueError for what patterns do not use."""
    parts, at = list[str](), 0
    while at < len(pattern):
        match = _PART.match(pattern, at)
        if match is None:
            raise ValueError(f"not part of a pattern: {pattern[at : at + 20]!r}")
        parts.append(_translated(match))
        at = match.end()
    return f"root ::= {' '.join(parts)}"


def _translated(match: re.Match[str]) -> str:
    if match["group"]:
        return "("
    if match["class"]:
        return "".join(["[", *(_in_class(item) for item in _IN_CLASS.findall(match["class"][1:-1])), "]"])
    if match["operator"]:
        return match["operator"]
    return f'"{_character(_plain(match["literal"]))}"'


def _in_class(item: str) -> str:
    if item == r"\s":
        return _SPACE
    return item if item in "^-" else _character(_plain(item))


def _plain(item: str) -> str:
    r"""Return the character that a part of a pattern stands for. Raises ValueError for letters such as \w."""
    if len(item) == 1:
        return item
    if item[1] in _CONTROL:
        return _CONTROL[item[1]]
    if item[1].isalnum():
        raise ValueError(f"not part of a pattern: {item}")
    return item[1]


def _character(character: str) -> str:
    """Return a character as GBNF writes it in literals and classes."""
    if (character.isascii() and character.isalnum()) or character in " .,:;":
        return character
    return f"\\x{ord(character):02X}" if ord(character) < 0x100 else f"\\U{ord(character):08X}"
