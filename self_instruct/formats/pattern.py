"""The regular expression of blocks, for engines that let a model write only texts that match.

Every text that matches is parsed into whole blocks: labels as shown and in order, each field with a visible text, a separator
below each block. A field may have any lines but those that the parser would read as a numbered label, as the beginning of the
next block or as a separator. There is no look-around, so the pattern spells out how a line may differ from a label.
"""

import re
from collections.abc import Collection, Sequence

from self_instruct.formats.edges import SEPARATOR
from self_instruct.formats.labels import Labels

_FENCE = r"(?:```[0-9A-Za-z+#]*\n)?"
_NUMBER = "[0-9]{1,4}"
_REST = r"[^\n]*"
# The parser knows the digits of all scripts, so characters that are not ASCII count as digits.
_DIGITS = "0-9\u0080-\U0010ffff"
# What may be before a label: white space and the marks of headings and bold text; behind a number, also another number.
_MARKS = "[#* \t\u00a0\u2000-\u200a\u3000]*"
_NUMBERS = r"[^\n-\r!-\"$-(+-\-/:-~{}]*"
# A line of these, and nothing else, may be an edge that belongs to no field.
_EMPTY = r"\-`\\"
_SPECIAL = "\\^[]-"
# Characters that Python takes for an ASCII letter in another case.
_ALIKE = {"i": "\u0130\u0131", "s": "\u017f", "k": "\u212a"}


def blocks_pattern(labels: Labels, last_only: bool) -> str:
    """Return the pattern of a completion that continues an open block: its fields, and further blocks.

    With `last_only`, it has the last field of the open block, and no further block.
    """
    words = [word for _, word in labels.triggers]
    line = rf"(?:[ \t]*#?|{_MARKS}{_line(words[:1], words)})"
    # A completion that begins with the label of the open field would be read as its repetition.
    usual = labels.usual
    begin = _line(usual, usual, _EMPTY) if last_only else _line(words[:1], words, _EMPTY)
    field = rf"{_FENCE}(?:[#*]{{1,6}} ?)?(?:-{{1,2}} ?|`)?{begin}(?:\n{line})*"
    close = rf"\n{SEPARATOR}\n"
    if last_only:
        return field + close
    block = field + "".join(rf"\n\n{_NUMBER}\. {literal(word)}:\n{field}" for word in words[1:]) + close
    return rf"{block}(?:{_NUMBER}\. {literal(words[0])}:\n{block})*"


def _line(words: Sequence[str], numbered: Sequence[str], without: str = "") -> str:
    """Return the pattern of a line that is no label of `words`, nor of `numbered` if it begins with a number.

    It does not begin with a character of `without`, a mark or white space.
    """
    # The marks at the beginning of a word, as in "### Response", are among those before a label.
    words, numbered = ([word.lstrip("#*.) \t") for word in own] for own in (words, numbered))
    plain = _unlike(words, rf"[^\t- #*{_DIGITS}{without}{{}}]")
    digit, more = rf"[^\t-/:-~\s{_initials(words)}]", _NUMBERS.format(_initials(numbered))
    behind = _unlike(numbered, rf"[^\n#* \t.){_DIGITS}{{}}]")
    return f"(?:{plain}|{digit}{more}{behind}?)"


def _unlike(ends: Collection[str], other: str, whole: bool = False) -> str:
    """Return the pattern of the rest of a line that does not begin with one of `ends`, in any case, and a colon or the end.

    `ends` are words, or the ends of words of which the line has the beginning; `whole` says that it has a whole word. `other`
    is the class of characters that begin any other rest, with a place for the characters that begin `ends`.
    """
    options, following = [other.format(_initials(ends)) + _REST], sorted({_fold(end[0]) for end in ends if end})
    if whole and " " not in following:
        options.append(rf"[ \t]+[^:*\s]{_REST}")
    for item in following:
        rest = {end[1:] for end in ends if end and _fold(end[0]) == item}
        whole_now = "" in rest or (whole and item == " ")
        inner = _unlike(rest, r"[^:*\s{}]" if whole_now else r"[^\n{}]", whole_now)
        options.append(f"[{_class(_alike(item))}]{inner}{'' if whole_now else '?'}")
    return f"(?:{'|'.join(options)})"


def _fold(character: str) -> str:
    return character.lower()[0]


def _alike(character: str) -> set[str]:
    """Return the characters that differ from this one at most in case."""
    lower, upper = _fold(character), character.upper()
    alike = {character, lower, upper, upper.lower(), lower.upper(), *_ALIKE.get(lower, "")}
    return {item for item in alike if len(item) == 1}


def _initials(words: Collection[str]) -> str:
    """Return the first characters of the words, in any case, for a class."""
    return _class({alike for word in words if word for alike in _alike(word[0])})


def _class(characters: Collection[str]) -> str:
    return "".join(f"\\{item}" if item in _SPECIAL else item for item in sorted(characters))


def literal(text: str) -> str:
    """Return a pattern for a text. `re.escape` escapes characters that other engines do not know as special."""
    return re.sub(r"[\\.^$*+?{}\[\]()|]", r"\\\g<0>", text)
