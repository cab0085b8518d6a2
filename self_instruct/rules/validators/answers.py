"""Find the answer in an output, and normalise texts for comparison."""

import re
import string

_LABEL = re.compile(r"^[*_#\s]*+(?:final\s+)?(?:correct\s+)?(?:answer|solution)\b[*_\s]*(?:is\b|[:=-])[*_\s]*", re.I)
_STATED = re.compile(
    r"\b(?:final |correct |right |missing )?(?:answer|word|option|choice|solution)\s+(?:is|would be)(?:\s*+:)?\s++"
    r"(?P<it>[^\n]+)",
    re.IGNORECASE,
)
_ENDS = re.compile(r"(?:[.!?](?=\s|$)|,? because\b|,? since\b|,? as it\b)")
_DECORATION = string.punctuation + string.whitespace + "“”‘’«»…–—"
_FUNCTION_WORDS = frozenset(
    "a an the of in on at to for by with from as is are was were be been it its this that these those and or but not no "
    "he she they we you i his her their our your my me him them us who which what there here do does did has have had "
    "will would can could may might must shall should than then so if into about over up down out".split()
)


def stated_answer(output: str) -> str:
    """Return the text after "Answer:" on the last or first line, or after "the answer is", or else the whole output."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    for line in (lines[-1:] + lines[:1]) if lines else []:
        label = _LABEL.match(line)
        if label and line[label.end() :].strip():
            return line[label.end() :].strip()
    stated = list(_STATED.finditer(output))
    if stated:
        return _ENDS.split(stated[-1]["it"])[0].strip()
    return output.strip()


def bare(text: str) -> str:
    """Return the text in lower case, with single spaces, without surrounding punctuation or quotation marks."""
    return " ".join(text.casefold().split()).strip(_DECORATION)


def content_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without function words ("the", "of", "is")."""
    return [word for word in words(text) if word not in _FUNCTION_WORDS]


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, in any script."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold())


def occurs_in(phrase: str, text: str) -> bool:
    """Return whether a text contains the words of a phrase in a row; False for a phrase without words."""
    wanted = words(phrase)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words(text))} "
