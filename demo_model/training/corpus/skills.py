"""Tables of plain skills: whole-list, whole-string and dictionary operations, with wording, code and reference.

A skill is a verb with fixed code; unlike an action it needs no predicate. {ns} and {n} name the noun, {k} is a number.
In code {xs} is the argument and {x} an item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Skill:
    """`imperative` and `result` are '|' alternatives; `code` is statements; `values` the choices for {k}."""

    verb: str
    imperative: str
    result: str
    slug: str
    code: str
    expected: Callable[..., object]
    kinds: str = "number word"
    values: tuple[int, ...] = ()


SMALL = (2, 3, 4, 5, 6)

LIST_SKILLS: tuple[Skill, ...] = (
    Skill(
        "rotate left",
        "rotate the {ns} {k} places to the left|shift the {ns} left by {k}, wrapping around",
        "the {ns} rotated left by {k}",
        "rotate_{ns}_left_by_{k}",
        "k = {k} % len({xs}) if {xs} else 0\nreturn {xs}[k:] + {xs}[:k]",
        lambda xs, k: [xs[(i + k) % len(xs)] for i in range(len(xs))],
        values=SMALL,
    ),
    Skill(
        "rotate right",
        "rotate the {ns} {k} places to the right|shift the {ns} right by {k}, wrapping around",
        "the {ns} rotated right by {k}",
        "rotate_{ns}_right_by_{k}",
        "k = {k} % len({xs}) if {xs} else 0\nreturn {xs}[-k:] + {xs}[:-k] if k else {xs}[:]",
        lambda xs, k: [xs[(i - k) % len(xs)] for i in range(len(xs))],
        values=SMALL,
    ),
    Skill(
        "chunk",
        "chunk the {ns} into groups of {k}|cut the {ns} into pieces of {k}",
        "the {ns} in groups of {k}",
        "chunk_{ns}_by_{k}",
        "return [{xs}[i:i + {k}] for i in range(0, len({xs}), {k})]",
        lambda xs, k: [xs[i * k : (i + 1) * k] for i in range((len(xs) + k - 1) // k)],
        values=SMALL,
    ),
    Skill(
        "window",
        "slide a window of {k} over the {ns}|list all runs of {k} neighbouring {ns}",
        "every window of {k} consecutive {ns}",
        "window_{ns}_by_{k}",
        "return [{xs}[i:i + {k}] for i in range(len({xs}) - {k} + 1)]",
        lambda xs, k: [xs[i : i + k] for i in range(len(xs)) if i + k <= len(xs)],
        values=SMALL,
    ),
    Skill(
        "pair",
        "pair up neighbouring {ns}|pair each of the {ns} with the next one",
        "all pairs of neighbouring {ns}",
        "pair_{ns}",
        "return list(zip({xs}, {xs}[1:]))",
        lambda xs: [(xs[i], xs[i + 1]) for i in range(len(xs) - 1)],
    ),
    Skill(
        "accumulate",
        "accumulate the {ns} into running totals|compute running totals of the {ns}",
        "the running totals of the {ns}",
        "accumulate_{ns}",
        "total, totals = 0, []\nfor {x} in {xs}:\n    total += {x}\n    totals.append(total)\nreturn totals",
        lambda xs: list(accumulate(xs)),
        "number",
    ),
    Skill(
        "difference",
        "compute the differences between neighbouring {ns}|subtract each of the {ns} from the next",
        "the differences between neighbouring {ns}",
        "difference_{ns}",
        "return [b - a for a, b in zip({xs}, {xs}[1:])]",
        lambda xs: [xs[i + 1] - xs[i] for i in range(len(xs) - 1)],
        "number",
    ),
    Skill(
        "clamp",
        "clamp the {ns} to at most {k}|cap the {ns} at {k}",
        "the {ns} capped at {k}",
        "clamp_{ns}_to_{k}",
        "return [min({x}, {k}) for {x} in {xs}]",
        lambda xs, k: [k if x > k else x for x in xs],
        "number",
        (10, 20, 30, 40, 50),
    ),
    Skill(
        "raise",
        "raise each of the {ns} by {k}|add {k} to each of the {ns}",
        "the {ns} raised by {k}",
        "raise_{ns}_by_{k}",
        "return [{x} + {k} for {x} in {xs}]",
        lambda xs, k: [x + k for x in xs],
        "number",
        (1, 2, 5, 10, 20),
    ),
    Skill(
        "running maximum",
        "track the running maximum of the {ns}|record the highest of the {ns} so far",
        "the running maximum of the {ns}",
        "running_maximum_{ns}",
        "best = []\nfor {x} in {xs}:\n    best.append(max(best[-1], {x}) if best else {x})\nreturn best",
        lambda xs: list(accumulate(xs, max)),
        "number",
    ),
    Skill(
        "spread",
        "measure the spread of the {ns}|subtract the lowest from the highest of the {ns}",
        "the spread between the lowest and highest {ns}",
        "spread_{ns}",
        "return max({xs}) - min({xs}) if {xs} else 0",
        lambda xs: sorted(xs)[-1] - sorted(xs)[0] if xs else 0,
        "number",
    ),
    Skill(
        "group length",
        "group the {ns} by length|sort the {ns} into groups by their length",
        "the {ns} grouped by length in a dictionary",
        "group_{ns}_by_length",
        "groups = {{}}\nfor {x} in {xs}:\n    groups.setdefault(len({x}), []).append({x})\nreturn groups",
        lambda xs: {len(y): [x for x in xs if len(x) == len(y)] for y in xs},
        "word",
    ),
    Skill(
        "group initial",
        "group the {ns} by first letter|index the {ns} by their first letter",
        "the {ns} grouped by first letter",
        "group_{ns}_by_first_letter",
        "groups = {{}}\nfor {x} in {xs}:\n    groups.setdefault({x}[0], []).append({x})\nreturn groups",
        lambda xs: {y[0]: [x for x in xs if x[0] == y[0]] for y in xs},
        "word",
    ),
    Skill(
        "sort length",
        "sort the {ns} by length|order the {ns} from shortest to longest",
        "the {ns} ordered by length",
        "sort_{ns}_by_length",
        "return sorted({xs}, key=len)",
        lambda xs: [x for n in range(99) for x in xs if len(x) == n],
        "word",
    ),
    Skill(
        "initials",
        "take the first letter of each of the {ns}|abbreviate the {ns} to their initials",
        "the initials of the {ns}",
        "initials_{ns}",
        'return "".join({x}[0] for {x} in {xs})',
        lambda xs: "".join(x[:1] for x in xs),
        "word",
    ),
    Skill(
        "shorten",
        "cut each of the {ns} to {k} letters|truncate the {ns} after {k} letters",
        "the {ns} cut to {k} letters",
        "shorten_{ns}_to_{k}",
        "return [{x}[:{k}] for {x} in {xs}]",
        lambda xs, k: ["".join(list(x)[:k]) for x in xs],
        "word",
        SMALL,
    ),
    Skill(
        "pad",
        "pad each of the {ns} with dots to {k} characters|fill up the {ns} with dots to width {k}",
        "the {ns} padded with dots to {k} characters",
        "pad_{ns}_to_{k}",
        'return [{x}.ljust({k}, ".") for {x} in {xs}]',
        lambda xs, k: [x + "." * (k - len(x)) for x in xs],
        "word",
        (8, 10, 12, 15),
    ),
    Skill(
        "number",
        "number the {ns} starting at {k}|pair the {ns} with numbers from {k} on",
        "the {ns} numbered from {k}",
        "number_{ns}_from_{k}",
        "return list(enumerate({xs}, start={k}))",
        lambda xs, k: [(i + k, x) for i, x in enumerate(xs)],
        values=(1, 5, 10, 100),
    ),
    Skill(
        "interleave halves",
        "interleave the two halves of the {ns}|shuffle both halves of the {ns} into each other",
        "the two halves of the {ns} interleaved",
        "interleave_{ns}",
        "half = len({xs}) // 2\nreturn [{x} for pair in zip({xs}[:half], {xs}[half:]) for {x} in pair]",
        lambda xs: [xs[i // 2 + (len(xs) // 2 if i % 2 else 0)] for i in range(len(xs) // 2 * 2)],
    ),
    Skill(
        "swap ends",
        "swap the first and last of the {ns}|exchange both ends of the {ns}",
        "the {ns} with both ends exchanged",
        "swap_ends_of_{ns}",
        "if len({xs}) < 2:\n    return {xs}[:]\nreturn {xs}[-1:] + {xs}[1:-1] + {xs}[:1]",
        lambda xs: xs[-1:] + xs[1:-1] + xs[:1] if len(xs) > 1 else xs,
    ),
    Skill(
        "most common",
        "find how often the most frequent of the {ns} appears|count the repeats of the commonest of the {ns}",
        "the count of the most frequent of the {ns}",
        "top_count_{ns}",
        "return max(({xs}.count({x}) for {x} in {xs}), default=0)",
        lambda xs: max([0] + [xs.count(x) for x in xs]),
    ),
    Skill(
        "repeat check",
        "check whether the {ns} contain a duplicate|detect repeated values among the {ns}",
        "True if the {ns} contain a duplicate",
        "has_duplicate_{ns}",
        "return len(set({xs})) < len({xs})",
        lambda xs: any(xs.count(x) > 1 for x in xs),
    ),
    Skill(
        "sorted check",
        "check whether the {ns} are in ascending order|test that the {ns} never go down",
        "whether the {ns} are in ascending order",
        "is_sorted_{ns}",
        "return all(a <= b for a, b in zip({xs}, {xs}[1:]))",
        lambda xs: xs == sorted(xs),
    ),
    Skill(
        "rank",
        "rank the {ns} from the highest|give each of the {ns} its place in the ranking",
        "the rank of each of the {ns}",
        "rank_{ns}",
        "ordered = sorted({xs}, reverse=True)\nreturn [ordered.index({x}) + 1 for {x} in {xs}]",
        lambda xs: [1 + sum(y > x for y in xs) for x in xs],
        "number",
    ),
    Skill(
        "take top",
        "take the top {k} of the {ns}|pick the {k} highest of the {ns}",
        "the {k} highest of the {ns}",
        "top_{k}_{ns}",
        "return sorted({xs}, reverse=True)[:{k}]",
        lambda xs, k: sorted(xs)[::-1][:k],
        "number",
        SMALL,
    ),
    Skill(
        "drop ends",
        "sort the {ns} and drop the lowest and the highest|order the {ns} and trim both extremes",
        "the {ns} without lowest and highest, sorted",
        "drop_extremes_{ns}",
        "return sorted({xs})[1:-1]",
        lambda xs: sorted(xs)[1 : len(xs) - 1] if xs else [],
        "number",
    ),
)
