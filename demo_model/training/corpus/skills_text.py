"""Operations on the characters of one string, and on dictionaries from names to numbers.

The notation is that of `skills.py`: {o} is a class of characters or a condition on values, {n} the string's noun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from demo_model.training.corpus.skills import Skill


@dataclass(frozen=True)
class Characters:
    """A class of characters in a string."""

    name: str
    one: str
    condition: str
    test: Callable[[str], bool]


CHARACTERS: tuple[Characters, ...] = (
    Characters("vowels", "vowel", 'char in "aeiou"', lambda c: c in list("aeiou")),
    Characters(
        "consonants", "consonant", 'char in "bcdfghjklmnpqrstvwxyz"', lambda c: "a" <= c <= "z" and c not in "aeiou"
    ),
    Characters("digits", "digit", "char.isdigit()", lambda c: "0" <= c <= "9"),
    Characters("capital letters", "capital letter", "char.isupper()", lambda c: "A" <= c <= "Z"),
    Characters("small letters", "small letter", "char.islower()", lambda c: "a" <= c <= "z"),
    Characters("spaces", "space", 'char == " "', lambda c: ord(c) == 32),
    Characters("letters", "letter", "char.isalpha()", lambda c: "a" <= c.lower() <= "z"),
    Characters("punctuation marks", "punctuation mark", 'char in ".,;:!?"', lambda c: c in list(".,;:!?")),
    Characters("hyphens", "hyphen", 'char == "-"', lambda c: ord(c) == 45),
    Characters("brackets", "bracket", 'char in "()[]"', lambda c: c in list("()[]")),
)
STRING_NOUNS = (
    ("sentence", "a newspaper"),
    ("message", "a chat app"),
    ("password", "a login page"),
    ("title", "a bookshop"),
    ("line", "a text editor"),
    ("comment", "a blog"),
    ("address", "a courier"),
    ("note", "a diary app"),
    ("headline", "a press agency"),
    ("review", "a hotel portal"),
    ("caption", "a photo album"),
    ("query", "a database"),
)
STRING_SAMPLES = (
    "",
    "a",
    "Hello, World 42!",
    "the quick brown fox (9)",
    "NO-SPACE",
    "Rain; rain - go AWAY?",
    "x1y2z3",
    "  two  gaps ",
)
STRING_SKILLS: tuple[Skill, ...] = (
    Skill(
        "count",
        "count the {o} of a {n}|find out how many {o} a {n} has",
        "the number of {o} in a {n}",
        "count_{o}",
        "return sum(1 for char in {xs} if {c})",
        lambda s, p: len([c for c in s if p(c)]),
    ),
    Skill(
        "remove",
        "remove the {o} from a {n}|delete all {o} of a {n}",
        "a {n} without its {o}",
        "remove_{o}",
        'return "".join(char for char in {xs} if not {c})',
        lambda s, p: "".join(c for c in s if not p(c)),
    ),
    Skill(
        "keep",
        "keep only the {o} of a {n}|extract the {o} from a {n}",
        "just the {o} of a {n}, joined",
        "keep_{o}",
        'return "".join(char for char in {xs} if {c})',
        lambda s, p: "".join(c for c in s if p(c)),
    ),
    Skill(
        "mask",
        "mask the {o} of a {n} with asterisks|hide the {o} in a {n} behind asterisks",
        "a {n} with its {o} as asterisks",
        "mask_{o}",
        'return "".join("*" if {c} else char for char in {xs})',
        lambda s, p: "".join("*" if p(c) else c for c in s),
    ),
    Skill(
        "double",
        "double the {o} of a {n}|repeat each of the {o} in a {n}",
        "a {n} with its {o} written twice",
        "double_{o}",
        'return "".join(char * 2 if {c} else char for char in {xs})',
        lambda s, p: "".join(c + c if p(c) else c for c in s),
    ),
    Skill(
        "find first",
        "find where the {o} of a {n} begin|locate the earliest of the {o} in a {n}",
        "the index of the first of the {o} in a {n}, else -1",
        "first_of_{o}",
        "for i, char in enumerate({xs}):\n    if {c}:\n        return i\nreturn -1",
        lambda s, p: next((i for i, c in enumerate(s) if p(c)), -1),
    ),
    Skill(
        "positions",
        "list the positions of the {o} in a {n}|find all indexes of {o} in a {n}",
        "every position of {o} in a {n}",
        "positions_of_{o}",
        "return [i for i, char in enumerate({xs}) if {c}]",
        lambda s, p: [i for i in range(len(s)) if p(s[i])],
    ),
    Skill(
        "check any",
        "check whether a {n} has any {o}|detect {o} in a {n}",
        "True if a {n} has some {o}",
        "has_{o}",
        "return any({c} for char in {xs})",
        lambda s, p: any(p(c) for c in s),
    ),
    Skill(
        "check all",
        "check whether a {n} has nothing but {o}|verify that a {n} is made of {o} alone",
        "True if a {n} has only {o}",
        "only_{o}",
        "return all({c} for char in {xs})",
        lambda s, p: all(p(c) for c in s),
    ),
    Skill(
        "share",
        "compute the share of {o} in a {n}|express the {o} of a {n} as a fraction",
        "the fraction of {o} in a {n}",
        "share_of_{o}",
        "return sum(1 for char in {xs} if {c}) / len({xs}) if {xs} else 0",
        lambda s, p: len([c for c in s if p(c)]) / max(1, len(s)),
    ),
    Skill(
        "tally",
        "tally the {o} of a {n}|count each of the {o} of a {n} separately",
        "a dictionary counting each of the {o} in a {n}",
        "tally_{o}",
        "counts = {{}}\nfor char in {xs}:\n    if {c}:\n        counts[char] = counts.get(char, 0) + 1\nreturn counts",
        lambda s, p: {c: s.count(c) for c in s if p(c)},
    ),
    Skill(
        "strip",
        "strip leading {o} from a {n}|cut off the {o} at the start of a {n}",
        "a {n} without {o} at its start",
        "strip_{o}",
        "while {xs} and (lambda char: {c})({xs}[0]):\n    {xs} = {xs}[1:]\nreturn {xs}",
        lambda s, p: s[next((i for i, c in enumerate(s) if not p(c)), len(s)) :],
    ),
    Skill(
        "split at",
        "split a {n} at its {o}|break up a {n} wherever {o} stand",
        "the parts of a {n} between its {o}",
        "split_at_{o}",
        'marked = "".join("|" if {c} else char for char in {xs})\nreturn marked.split("|")',
        lambda s, p: "".join("\n" if p(c) else c for c in s).split("\n"),
    ),
)

MAPPINGS = (
    ("product", "price", "a corner shop"),
    ("player", "score", "a quiz league"),
    ("city", "population", "an atlas"),
    ("student", "grade", "a college"),
    ("worker", "wage", "a factory"),
    ("country", "area", "a geographer"),
    ("book", "rating", "a reading club"),
    ("team", "points", "a tournament"),
    ("server", "load", "a data centre"),
    ("fruit", "stock", "a market stall"),
    ("room", "size", "a guest house"),
    ("film", "length", "a cinema"),
    ("train", "delay", "a station"),
    ("user", "age", "a web portal"),
    ("song", "plays", "a song service"),
)
MAPPING_SAMPLES: tuple[dict[str, int], ...] = (
    {},
    {"a": 10},
    {"kiwi": 5, "fig": 60, "plum": 12},
    {"x": 100, "y": 20, "z": 20, "w": 75},
    {"up": -5, "in": 50, "at": 90},
)
# Here {o} is the plural of the key with a condition on the value: "products with a price above 5".
MAPPING_SKILLS: tuple[Skill, ...] = (
    Skill(
        "keep",
        "name the {o}|list the keys of the {o}",
        "the names of the {o}",
        "name_{s}",
        "return [{x} for {x}, {v} in {xs}.items() if {c}]",
        lambda d, p: [k for k in d if p(d[k])],
    ),
    Skill(
        "count",
        "count how many entries are {o}|count the dictionary's {o}",
        "how many entries are {o}",
        "count_{s}",
        "return sum(1 for {v} in {xs}.values() if {c})",
        lambda d, p: len([k for k in d if p(d[k])]),
    ),
    Skill(
        "filter",
        "filter the dictionary down to the {o}|reduce the mapping to its {o}",
        "a dictionary of only the {o}",
        "filter_{s}",
        "return {{{x}: {v} for {x}, {v} in {xs}.items() if {c}}}",
        lambda d, p: {k: d[k] for k in d if p(d[k])},
    ),
    Skill(
        "remove",
        "delete the {o} from the dictionary|discard those entries that are {o}",
        "the mapping without its {o}",
        "delete_{s}",
        "return {{{x}: {v} for {x}, {v} in {xs}.items() if not {c}}}",
        lambda d, p: {k: d[k] for k in d if not p(d[k])},
    ),
    Skill(
        "sum",
        "add up the values of the {o}|sum the numbers of the {o}",
        "the values of the {o} added up",
        "sum_{s}",
        "return sum({v} for {v} in {xs}.values() if {c})",
        lambda d, p: sum(v for v in d.values() if p(v)),
    ),
    Skill(
        "sort",
        "sort the names of the {o}|alphabetise the {o}",
        "the names of the {o} in alphabetical order",
        "sort_{s}",
        "return sorted({x} for {x}, {v} in {xs}.items() if {c})",
        lambda d, p: sorted(k for k in d if p(d[k])),
    ),
    Skill(
        "halve",
        "halve the values of the {o}|cut the numbers of the {o} in half",
        "a dictionary with the values of the {o} halved",
        "halve_{s}",
        "return {{{x}: {v} / 2 if {c} else {v} for {x}, {v} in {xs}.items()}}",
        lambda d, p: {k: d[k] / 2 if p(d[k]) else d[k] for k in d},
    ),
    Skill(
        "invert",
        "invert the dictionary for the {o}|lead values back to names for the {o}",
        "a reversed dictionary, value to name, of the {o}",
        "invert_{s}",
        "return {{{v}: {x} for {x}, {v} in {xs}.items() if {c}}}",
        lambda d, p: {d[k]: k for k in d if p(d[k])},
    ),
    Skill(
        "check any",
        "check for any entry among the {o}|see if the dictionary has {o}",
        "True if some entry is among the {o}",
        "any_{s}",
        "return any({c} for {v} in {xs}.values())",
        lambda d, p: any(p(v) for v in d.values()),
    ),
)
