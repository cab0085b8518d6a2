"""Parse the text of a task: its (verb, object) pair, and a reference answer if there is one.

Recognises only the wordings of the grammar; returns None for any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import product

from demo_model.training.corpus import family_class, family_pattern, family_query, family_skills, nouns
from demo_model.training.corpus.actions import Action
from demo_model.training.corpus.actions_order import ALL_ACTIONS
from demo_model.training.corpus.jobs import Job
from demo_model.training.corpus.objects import ObjectKind, Selection, object_kinds
from demo_model.training.corpus.predicates import PARAMETER_PATTERNS, Predicate
from demo_model.training.corpus.skills import LIST_SKILLS, Skill
from demo_model.training.corpus.skills_text import (
    CHARACTERS,
    MAPPING_SKILLS,
    MAPPINGS,
    STRING_NOUNS,
    STRING_SKILLS,
    Characters,
)
from demo_model.training.corpus.task import Meaning


def recognise(instruction: str, output: str = "") -> Meaning | None:
    """The meaning of the instruction; of the answer, if it is prose and the instruction says nothing."""
    found = _read(instruction)
    if found is None and output and "def " not in output:
        found = _read(output)
    return found


def _read(text: str) -> Meaning | None:
    return (
        _read_selection(text)
        or _search(_mapping_rows(), text)
        or _search(_string_rows(), text)
        or _search(_list_rows(), text)
        or _read_shell(text)
        or _read_class(text)
        or _read_regex(text)
        or _read_conversion(text)
    )


def _longest(found: Iterable[tuple[str, Meaning]]) -> Meaning | None:
    """The meaning whose matched wording is longest: "the sum of the squares of" is not "the squares of"."""
    return max(found, key=lambda item: len(item[0]), default=("", None))[1]


def _forms(*wordings: str) -> list[str]:
    return [form for wording in wordings for form in wording.split("|")]


@lru_cache(maxsize=1)
def _object_patterns() -> tuple[tuple[re.Pattern[str], ObjectKind, bool], ...]:
    patterns = []
    for kind in object_kinds():
        groups = [PARAMETER_PATTERNS[name] for name in kind.predicate.params]
        for many in (True, False):
            for wording in kind.wordings(many):
                pattern = re.escape(wording).replace(r"\{0\}", groups[0] if groups else "")
                patterns.append((len(wording), re.compile(rf"\b{pattern}(?!\w)", re.IGNORECASE), kind, many))
    patterns.sort(key=lambda item: -item[0])
    return tuple(item[1:] for item in patterns)


@lru_cache(maxsize=1)
def _object_index() -> dict[str, list[tuple[re.Pattern[str], ObjectKind, bool]]]:
    """The patterns by the noun they need, so that few have to be tried on one text."""
    index: dict[str, list[tuple[re.Pattern[str], ObjectKind, bool]]] = {}
    for pattern, kind, many in _object_patterns():
        index.setdefault(kind.noun.many if many else kind.noun.one, []).append((pattern, kind, many))
    return index


def _objects(text: str) -> Iterable[tuple[str, bool, Selection]]:
    """Objects named in the text, as (text with a mark in the object's place, plural, selection)."""
    words = set(re.findall(r"\w+", text.lower()))
    for noun, patterns in _object_index().items():
        if noun not in words:
            continue
        for pattern, kind, many in patterns:
            match = pattern.search(text)
            if match:
                marked = f"{text[: match.start()]}<O>{text[match.end() :]}".lower()
                yield marked, many, Selection(kind, match.groups())


@lru_cache(maxsize=1)
def _action_forms() -> tuple[tuple[re.Pattern[str], bool, Action], ...]:
    rows = []
    for action in ALL_ACTIONS:
        for form in _forms(action.imperative, action.result):
            marked = re.escape(form.replace("{o1}", "<O>").replace("{o}", "<O>").lower())
            rows.append((re.compile(rf"\b{marked}(?!\w)"), "{o1}" not in form, action))
    return tuple(rows)


def _read_selection(text: str) -> Meaning | None:
    found = []
    sql = re.search(r"\bSQL\b|\b[Tt]able `|^Query the database", text) is not None
    for marked, many, selection in _objects(text):
        if sql:
            found += _sql_meanings(marked, selection, len(text) - len(marked)) if selection.kind.field and many else []
            continue
        for pattern, plural, action in _action_forms():
            match = pattern.search(marked) if plural == many else None
            if match and selection.noun.kind in action.kinds.split():
                found.append((match.group() + "." * (len(text) - len(marked)), Job(action, selection).meaning()))
    return _longest(found)


def _sql_meanings(marked: str, selection: Selection, size: int) -> list[tuple[str, Meaning]]:
    found = []
    for statement in family_query.SQL_STATEMENTS:
        for form in _forms(statement.imperative):
            pattern = re.escape(form).replace(r"\{o\}", "<o>").replace(r"\{f\}", r"(\w+)")
            match = re.search(pattern, marked.replace("<O>", "<o>"))
            if match:
                column = match.group(1) if match.groups() else ""
                found.append((match.group() + "." * size, family_query.sql_meaning(statement, selection, column)))
    return found


Reader = Callable[[tuple[str, ...]], Meaning]


def _row(pattern: str, read: Reader) -> tuple[re.Pattern[str], Reader]:
    """A pattern of whole words, and what makes the meaning from its groups."""
    return re.compile(rf"\b{pattern}(?!\w)", re.IGNORECASE), read


def _search(rows: Iterable[tuple[re.Pattern[str], Reader]], text: str) -> Meaning | None:
    found = []
    for pattern, read in rows:
        match = pattern.search(text)
        if match:
            found.append((match.group(), read(match.groups())))
    return _longest(found)


def _list_meaning(skill: Skill, noun: nouns.Noun, groups: tuple[str, ...]) -> Meaning:
    return family_skills.list_meaning(skill, noun, int(groups[0]) if groups else None)


@lru_cache(maxsize=1)
def _list_rows() -> list[tuple[re.Pattern[str], Reader]]:
    rows = []
    for skill in LIST_SKILLS:
        for form in _forms(skill.imperative, skill.result):
            for noun in (n for n in nouns.LIST_NOUNS if n.kind in skill.kinds.split()):
                pattern = re.escape(form).replace(r"\{ns\}", noun.many).replace(r"\{k\}", r"(\d+)")
                rows.append(_row(pattern, partial(_list_meaning, skill, noun)))
    return rows


def _string_meaning(skill: Skill, characters: Characters, noun: str, groups: tuple[str, ...]) -> Meaning:
    return family_skills.string_meaning(skill, characters, noun)


@lru_cache(maxsize=1)
def _string_rows() -> list[tuple[re.Pattern[str], Reader]]:
    rows = []
    for skill in STRING_SKILLS:
        for form in _forms(skill.imperative, skill.result):
            for characters, (noun, _) in product(CHARACTERS, STRING_NOUNS):
                pattern = re.escape(form.format(o=characters.name, n=noun))
                rows.append(_row(pattern, partial(_string_meaning, skill, characters, noun)))
    return rows


def _mapping_meaning(skill: Skill, names: tuple[str, str], predicate: Predicate, groups: tuple[str, ...]) -> Meaning:
    return family_skills.mapping_meaning(skill, names, predicate, int(groups[0]))


@lru_cache(maxsize=1)
def _mapping_rows() -> list[tuple[re.Pattern[str], Reader]]:
    rows = []
    for skill in MAPPING_SKILLS:
        for form in _forms(skill.imperative, skill.result):
            for (key, value, _), predicate in product(MAPPINGS, family_skills.MAPPING_PREDICATES):
                for objects in family_skills.mapping_objects(key, value, predicate.after):
                    pattern = re.escape(form.format(o=objects)).replace(r"\{0\}", r"(\d+)")
                    rows.append(_row(pattern, partial(_mapping_meaning, skill, (key, value), predicate)))
    return rows


def _read_shell(text: str) -> Meaning | None:
    found = []
    for statement in family_query.SHELL_STATEMENTS:
        for form in _forms(statement.imperative):
            pattern = re.escape(form).replace(r"\{f\}", r"`(?P<f>[\w.]+)`").replace(r"\{w\}", r"(?P<w>[A-Za-z]+)")
            match = re.search(pattern, text, re.IGNORECASE)
            if match:
                found.append((match.group(), family_query.shell_meaning(statement, match["f"], match["w"])))
    return _longest(found)


def _read_class(text: str) -> Meaning | None:
    methods = {method.partition("(")[0]: method for method, _, _ in family_class.METHODS}
    calls = [methods[name] for name in re.findall(r"`(\w+)\(", text) if name in methods]
    things = [thing for thing, _, _ in family_class.THINGS if re.search(rf"\b{thing}\b", text, re.IGNORECASE)]
    return family_class.class_meaning(things[0], (calls[0], calls[1])) if len(calls) == 2 and things else None


def _read_regex(text: str) -> Meaning | None:
    places = []
    for pieces in (family_pattern.STARTS, family_pattern.JOINTS, family_pattern.ENDS):
        found = [piece for piece in pieces if re.search(rf"\b{re.escape(piece[1])}(?!\w)", text)]
        if not found:
            return None
        places.append(max(found, key=lambda piece: len(piece[1])))
    return family_pattern.regex_meaning(*places)


def _read_conversion(text: str) -> Meaning | None:
    rule = next((rule for rule in family_pattern.CONVERSION_RULES if rule and rule in text), "")
    for source, target, factor in family_pattern.UNITS:
        plain = [frame for frame in family_pattern.CONVERSION_FRAMES if "`" not in frame]
        worded = any(frame.format(x=source, y=target).lower() in text.lower() for frame in plain)
        if worded or re.search(rf"\b{source}_to_{target.replace(' ', '_')}\b", text):
            return family_pattern.conversion_meaning(source, target, factor, rule)
    return None
