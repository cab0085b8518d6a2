"""Python functions on whole lists, on the characters of a string, and on dictionaries.

Words them with the sentences of `phrasing.py`; the tables are in `skills.py` and `skills_text.py`.
"""

from __future__ import annotations

import random

from demo_model.training.corpus import nouns, phrasing
from demo_model.training.corpus.code_style import Layout, function
from demo_model.training.corpus.predicates import FIELD_PREDICATES, PARAMETER_VALUES, Predicate
from demo_model.training.corpus.skills import LIST_SKILLS, Skill
from demo_model.training.corpus.skills_text import (
    CHARACTERS,
    MAPPING_SAMPLES,
    MAPPING_SKILLS,
    MAPPINGS,
    STRING_NOUNS,
    STRING_SAMPLES,
    STRING_SKILLS,
    Characters,
)
from demo_model.training.corpus.task import Meaning, Task, pick

MAPPING_PREDICATES = FIELD_PREDICATES[:3]


def list_meaning(skill: Skill, noun: nouns.Noun, k: int | None) -> Meaning:
    samples = nouns.NUMBER_SAMPLES if noun.kind == "number" else nouns.WORD_SAMPLES
    more = () if k is None else (k,)
    cases = tuple((list(sample),) for sample in samples)
    return Meaning(skill.verb, noun.many, lambda xs: skill.expected(xs, *more), cases)


def string_meaning(skill: Skill, characters: Characters, noun: str) -> Meaning:
    cases = tuple((sample,) for sample in STRING_SAMPLES)
    return Meaning(skill.verb, f"{characters.name} of a {noun}", lambda s: skill.expected(s, characters.test), cases)


def mapping_meaning(skill: Skill, names: tuple[str, str], predicate: Predicate, limit: int) -> Meaning:
    def expected(entries: dict[str, int]) -> object:
        return skill.expected(entries, lambda value: predicate.test(value, limit))

    cases = tuple((dict(sample),) for sample in MAPPING_SAMPLES)
    return Meaning(skill.verb, f"{names[0]} entries by {names[1]} {predicate.key}", expected, cases)


def _finish(
    family: str, wording: phrasing.Wording, body: str, hint: str, meaning: Meaning, rng: random.Random
) -> Task:
    """Word the request and lay out the function, sometimes with type hints or a docstring."""
    text, layout, roll = phrasing.ask(wording, rng), Layout(), rng.random()
    if roll < 0.12:
        text, layout = f"{text} {rng.choice(phrasing.HINT_RULES)}", Layout(hints=True)
    elif roll < 0.18:
        text = f"{text} {rng.choice(phrasing.DOC_RULES)}"
        layout = Layout(docstring=wording.imperative[:1].upper() + wording.imperative[1:] + ".")
    elif roll < 0.28:
        text = f"{text} {rng.choice(('Import nothing.', 'Keep it readable.', 'Python only.', 'Use no library.'))}"
    return Task(family, text, function(wording.name, wording.argument, hint, "", body, layout), meaning)


def make_list_skill(rng: random.Random) -> Task:
    skill = rng.choice(LIST_SKILLS)
    noun = rng.choice([n for n in nouns.LIST_NOUNS if n.kind in skill.kinds.split()])
    k = rng.choice(skill.values) if skill.values else None
    parts = {"ns": noun.many, "n": noun.one, "k": k}
    name = skill.slug.format(**{**parts, "ns": noun.argument})
    wording = phrasing.Wording(
        pick(rng, skill.imperative).format(**parts),
        pick(rng, skill.result).format(**parts),
        name,
        noun.argument,
        noun.many,
        noun.owner,
    )
    body = skill.code.format(xs=noun.argument, x=noun.variable, k=k)
    hint = "list[int]" if noun.kind == "number" else "list[str]"
    return _finish("list", wording, body, hint, list_meaning(skill, noun, k), rng)


def make_string_skill(rng: random.Random) -> Task:
    skill, characters = rng.choice(STRING_SKILLS), rng.choice(CHARACTERS)
    noun, owner = rng.choice(STRING_NOUNS)
    parts = {"o": characters.name, "n": noun}
    name = skill.slug.format(o=characters.name.replace(" ", "_"))
    wording = phrasing.Wording(
        pick(rng, skill.imperative).format(**parts),
        pick(rng, skill.result).format(**parts),
        name,
        noun,
        noun,
        owner,
        shape="string",
    )
    body = skill.code.format(xs=noun, c=characters.condition)
    return _finish("string", wording, body, "str", string_meaning(skill, characters, noun), rng)


def mapping_objects(key: str, value: str, after: str) -> list[str]:
    """Ways to say which entries are meant, with {0} for the threshold."""
    many = _plural(key)
    return [f"{many} with {value} {text}" for text in after.split("|")]


def make_mapping_skill(rng: random.Random) -> Task:
    skill, predicate = rng.choice(MAPPING_SKILLS), rng.choice(MAPPING_PREDICATES)
    key, value, owner = rng.choice(MAPPINGS)
    limit = rng.choice(PARAMETER_VALUES["n"])
    objects = rng.choice(mapping_objects(key, value, predicate.after)).format(limit)
    argument = value if value.endswith("s") else _plural(value)
    slug = f"{_plural(key)}_{predicate.slug.format(limit)}"
    wording = phrasing.Wording(
        pick(rng, skill.imperative).format(o=objects),
        pick(rng, skill.result).format(o=objects),
        skill.slug.format(s=slug),
        argument,
        f"{argument} by {key}",
        owner,
        shape="dictionary",
    )
    variable = "value" if value == argument else value
    code, inverse = (form.format(limit, x=variable) for form in (predicate.code, predicate.inverse))
    body = skill.code.format(xs=argument, x=key, v=variable, c=code, n=inverse)
    meaning = mapping_meaning(skill, (key, value), predicate, int(limit))
    return _finish("mapping", wording, body, "dict", meaning, rng)


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x")) else "s")
