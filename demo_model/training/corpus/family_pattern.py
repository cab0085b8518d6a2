"""Regular expressions put together from two or three pieces, and unit conversions as Python functions.

Every such task has one right text, so its meaning holds that text; nothing is run here.
"""

from __future__ import annotations

import random

from demo_model.training.corpus.code_style import Layout, capital, function
from demo_model.training.corpus.task import Meaning, Task

# piece: (key, wording, pattern)
STARTS = tuple((f"prefix {p}", f"the prefix {p}", p) for p in ("AB", "ID", "NR", "EU", "INV", "X", "REF", "PO")) + (
    ("capital", "one capital letter", "[A-Z]"),
    ("lowercase", "lowercase letters", "[a-z]+"),
    ("word", "a word", r"\w+"),
    ("digit", "a single digit", r"\d"),
    ("digits", "some digits", r"\d+"),
    ("sign", "an optional minus sign", "-?"),
    ("hash", "a hash sign", "#"),
)
JOINTS = (
    ("hyphen", "a hyphen", "-"),
    ("dot", "a dot", r"\."),
    ("slash", "a slash", "/"),
    ("colon", "a colon", ":"),
    ("space", "a space", " "),
    ("underscore", "an underscore", "_"),
    ("at", "an at sign", "@"),
)
ENDS = (
    tuple((f"{n} digits", f"exactly {n} digits", rf"\d{{{n}}}") for n in (2, 3, 4, 5, 6, 8))
    + tuple((f"{n} letters", f"exactly {n} small letters", f"[a-z]{{{n}}}") for n in (2, 3, 4, 5))
    + (("any", "any more characters", ".*"), ("number", "a number", r"\d+"), ("vowel", "one vowel", "[aeiou]"))
)
REGEX_FRAMES = (
    "Give a regular expression for {p}.",
    "Which regex matches {p}?",
    "State a pattern that accepts {p} and nothing else.",
    "A form field must contain {p}. Provide the regex.",
    "Match {p} with a regular expression.",
    "Validate codes made of {p}; answer with a regex.",
    "I have strings of this shape: {p}. What pattern fits?",
    "Compose an anchored regular expression: {p}.",
    "Our labels consist of {p}. Describe them as a regex.",
    "Regex wanted: {p}.",
    "How do you recognise {p} by a pattern?",
    "Search a text for {p}; which regex would you use?",
    "Part numbers look like this: {p}. Write the regex.",
    "Only {p} may pass. Supply the expression.",
    "In regex notation, describe {p}.",
    "Filter names that are {p}, by a regex.",
)

# from, to, factor
UNITS = (
    ("minutes", "seconds", "60"),
    ("hours", "minutes", "60"),
    ("days", "hours", "24"),
    ("weeks", "days", "7"),
    ("metres", "centimetres", "100"),
    ("kilometres", "metres", "1000"),
    ("feet", "inches", "12"),
    ("yards", "feet", "3"),
    ("miles", "kilometres", "1.609"),
    ("inches", "centimetres", "2.54"),
    ("pounds", "ounces", "16"),
    ("kilograms", "grams", "1000"),
    ("tonnes", "kilograms", "1000"),
    ("litres", "millilitres", "1000"),
    ("gallons", "pints", "8"),
    ("dozens", "pieces", "12"),
    ("euros", "cents", "100"),
    ("years", "months", "12"),
    ("kilobytes", "bytes", "1024"),
    ("bytes", "bits", "8"),
    ("hectares", "ares", "100"),
    ("knots", "kilometres per hour", "1.852"),
    ("centuries", "years", "100"),
    ("fortnights", "days", "14"),
)
CONVERSION_FRAMES = (
    "Convert {x} to {y}.",
    "How many {y} are in a number of {x}? Code it.",
    "Implement `{f}({v})`.",
    "Given some {x}, return the {y}.",
    "A function `{f}` should turn {x} into {y}.",
    "I measure in {x} but my report uses {y}. Supply `{f}`.",
    "Change {x} into {y} with Python.",
    "Create a converter from {x} to {y}.",
    "Someone enters {x}; show them {y}.",
    "Let `{f}` compute {y} from {x}.",
)
CONVERSION_RULES = (
    "Round to two places.",
    "Reject negative values with ValueError.",
    "Accept a whole list.",
    "Add type hints.",
    "",
    "Include a docstring.",
    "Return text that names the unit.",
)


def make_regex(rng: random.Random) -> Task:
    start, joint, end = rng.choice(STARTS), rng.choice(JOINTS), rng.choice(ENDS)
    wording = rng.choice(
        (
            "{0}, then {1}, then {2}",
            "{0}, {1} and {2}",
            "{0} followed by {1} and {2}",
            "{0}, after it {1} and finally {2}",
            "{0} and {2} with {1} between them",
            "{1} that has {0} before it and {2} behind it",
        )
    ).format(start[1], joint[1], end[1])
    text = rng.choice(REGEX_FRAMES).format(p=wording)
    meaning = regex_meaning(start, joint, end)
    return Task("regex", text, meaning.answer, meaning, language="regex")


def regex_meaning(*pieces: tuple[str, str, str]) -> Meaning:
    """The anchored pattern of three pieces."""
    (first, *others), pattern = [piece[0] for piece in pieces], "".join(piece[2] for piece in pieces)
    return Meaning(f"match {first}", ", ".join(others), answer=f"^{pattern}$")


def make_conversion(rng: random.Random) -> Task:
    source, target, factor = rng.choice(UNITS)
    rule = rng.choice(CONVERSION_RULES)
    name = f"{source}_to_{target}".replace(" ", "_")
    text = rng.choice(CONVERSION_FRAMES).format(x=source, y=target, f=name, v=source)
    meaning = conversion_meaning(source, target, factor, rule)
    return Task("conversion", f"{text} {rule}".strip(), meaning.answer, meaning)


def conversion_meaning(source: str, target: str, factor: str, rule: str) -> Meaning:
    """The converter under one of CONVERSION_RULES; the rule decides on the body or on the layout."""
    value = f"{source} * {factor}"
    layout, body = Layout(), f"return {value}"
    if rule.startswith("Round"):
        body = f"return round({value}, 2)"
    elif rule.startswith("Reject"):
        body = f'if {source} < 0:\n    raise ValueError("{source} must not be negative")\nreturn {value}'
    elif rule.startswith("Accept"):
        body = f"return [value * {factor} for value in {source}]"
    elif rule.startswith("Return text"):
        body = f'return f"{{{value}}} {target}"'
    elif "hints" in rule:
        layout = Layout(hints=True)
    elif "docstring" in rule:
        layout = Layout(docstring=f"{capital(source)} in {target}.")
    name = f"{source}_to_{target}".replace(" ", "_")
    code = function(name, source, "float", "float", body, layout)
    return Meaning(f"convert {source}", target, answer=code)
