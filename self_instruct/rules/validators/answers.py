"""Reading an answer: the part of an output that states it, and texts brought into a form in which they can be compared."""

import re
import string

_LABEL = re.compile(
    r"^\s*(?:[*_#\s]*)(?:final\s+)?(?:correct\s+)?(?:answer|solution)\b[*_\s]*(?:is\b|[:=-])[*_\s]*", re.I
)
_STATED = re.compile(
    r"\b(?:final |correct |right |missing )?(?:answer|word|option|choice|solution)\s+(?:is|would be)\s*:?\s+(?P<it>[^\n]+)",
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
    """The answer in an output: after "Answer:" on its first or last line, after "the answer is", else the output as a whole."""
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
    """The text in lower case, with single spaces, without signs or quotation marks around it."""
    return " ".join(text.casefold().split()).strip(_DECORATION)


def content_words(text: str) -> list[str]:
    """The words of a text in lower case, without those that only join others ("the", "of", "is")."""
    return [word for word in words(text) if word not in _FUNCTION_WORDS]


def words(text: str) -> list[str]:
    """The words of a text in lower case, of any script."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.casefold())


def stands_in(phrase: str, text: str) -> bool:
    """Whether the words of a phrase, of which there are some, stand side by side in a text."""
    wanted = words(phrase)
    return bool(wanted) and f" {' '.join(wanted)} " in f" {' '.join(words(text))} "
