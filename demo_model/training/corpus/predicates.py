"""Conditions on a number, a word or a record's field: wording, Python and a reference test for each.

The wording never has to agree in number ("above 5", "starting with 'k'"), so it fits both "price" and "prices".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Predicate:
    """`before` and `after` are '|' alternatives around the noun; {0}, {1} stand for the parameters."""

    key: str
    before: str
    after: str
    slug: str
    code: str
    inverse: str
    test: Callable[..., bool]
    params: tuple[str, ...] = ()


def _adjective(word: str, code: str, inverse: str, test: Callable[..., bool]) -> Predicate:
    return Predicate(word.split("|")[0], word, "", word.split("|")[0].replace("-", "_"), code, inverse, test)


NUMBER_PREDICATES: tuple[Predicate, ...] = (
    _adjective("even", "{x} % 2 == 0", "{x} % 2 != 0", lambda x: x in range(-1000, 1001, 2)),
    _adjective("odd", "{x} % 2 == 1", "{x} % 2 == 0", lambda x: x in range(-999, 1000, 2)),
    _adjective("negative", "{x} < 0", "{x} >= 0", lambda x: str(x).startswith("-")),
    _adjective("positive", "{x} > 0", "{x} <= 0", lambda x: x != 0 and not str(x).startswith("-")),
    _adjective("non-zero", "{x} != 0", "{x} == 0", bool),
    _adjective("two-digit", "10 <= {x} <= 99", "not 10 <= {x} <= 99", lambda x: str(x).isdigit() and len(str(x)) == 2),
    Predicate(
        "above",
        "",
        "above {0}|greater than {0}|over {0}",
        "above_{0}",
        "{x} > {0}",
        "{x} <= {0}",
        lambda x, k: x > k,
        ("n",),
    ),
    Predicate(
        "below",
        "",
        "below {0}|less than {0}|under {0}",
        "below_{0}",
        "{x} < {0}",
        "{x} >= {0}",
        lambda x, k: x < k,
        ("n",),
    ),
    Predicate(
        "at least",
        "",
        "of at least {0}|of {0} or more",
        "from_{0}",
        "{x} >= {0}",
        "{x} < {0}",
        lambda x, k: not x < k,
        ("n",),
    ),
    Predicate(
        "at most",
        "",
        "of at most {0}|not exceeding {0}",
        "up_to_{0}",
        "{x} <= {0}",
        "{x} > {0}",
        lambda x, k: not x > k,
        ("n",),
    ),
    Predicate(
        "divisible",
        "",
        "divisible by {0}|that {0} divides exactly",
        "divisible_by_{0}",
        "{x} % {0} == 0",
        "{x} % {0} != 0",
        lambda x, k: x // k * k == x,
        ("d",),
    ),
    Predicate(
        "ending in",
        "",
        "ending in {0}|with {0} as last digit",
        "ending_in_{0}",
        "abs({x}) % 10 == {0}",
        "abs({x}) % 10 != {0}",
        lambda x, k: str(x)[-1] == str(k),
        ("g",),
    ),
    Predicate(
        "other than",
        "",
        "other than {0}|not equal to {0}",
        "other_than_{0}",
        "{x} != {0}",
        "{x} == {0}",
        lambda x, k: not x == k,
        ("n",),
    ),
)

WORD_PREDICATES: tuple[Predicate, ...] = (
    Predicate(
        "longer",
        "",
        "longer than {0} letters|with more than {0} letters",
        "longer_than_{0}",
        "len({x}) > {0}",
        "len({x}) <= {0}",
        lambda x, k: len(x) > k,
        ("s",),
    ),
    Predicate(
        "shorter",
        "",
        "shorter than {0} letters|with fewer than {0} letters",
        "shorter_than_{0}",
        "len({x}) < {0}",
        "len({x}) >= {0}",
        lambda x, k: len(x) < k,
        ("s",),
    ),
    Predicate(
        "exactly",
        "",
        "of exactly {0} letters|with {0} letters",
        "of_length_{0}",
        "len({x}) == {0}",
        "len({x}) != {0}",
        lambda x, k: len(x) == k,
        ("s",),
    ),
    Predicate(
        "starting",
        "",
        "starting with '{0}'|beginning with '{0}'",
        "starting_with_{0}",
        '{x}.startswith("{0}")',
        'not {x}.startswith("{0}")',
        lambda x, c: x[:1] == c,
        ("c",),
    ),
    Predicate(
        "ending",
        "",
        "ending with '{0}'|that end in '{0}'",
        "ending_with_{0}",
        '{x}.endswith("{0}")',
        'not {x}.endswith("{0}")',
        lambda x, c: x[-1:] == c,
        ("c",),
    ),
    Predicate(
        "containing",
        "",
        "containing '{0}'|with the letter '{0}'",
        "with_{0}",
        '"{0}" in {x}',
        '"{0}" not in {x}',
        lambda x, c: x.count(c) > 0,
        ("c",),
    ),
    Predicate(
        "lacking",
        "",
        "without the letter '{0}'|lacking '{0}'",
        "without_{0}",
        '"{0}" not in {x}',
        '"{0}" in {x}',
        lambda x, c: x.count(c) == 0,
        ("c",),
    ),
    _adjective("palindromic", "{x} == {x}[::-1]", "{x} != {x}[::-1]", lambda x: list(x) == list(reversed(x))),
    _adjective("uppercase", "{x}.isupper()", "not {x}.isupper()", lambda x: x == x.upper() and x != x.lower()),
    _adjective("lowercase", "{x}.islower()", "not {x}.islower()", lambda x: x == x.lower() and x != x.upper()),
    _adjective("capitalised", "{x}[:1].isupper()", "not {x}[:1].isupper()", lambda x: "A" <= x[:1] <= "Z"),
    _adjective("numeric", "{x}.isdigit()", "not {x}.isdigit()", lambda x: x != "" and set(x) <= set("0123456789")),
    _adjective(
        "alphabetic",
        "{x}.isalpha()",
        "not {x}.isalpha()",
        lambda x: x != "" and x.lower() != "" and all("a" <= c <= "z" for c in x.lower()),
    ),
    Predicate(
        "repeating",
        "",
        "with repeated letters|in which a letter repeats",
        "with_repeats",
        "len(set({x})) < len({x})",
        "len(set({x})) == len({x})",
        lambda x: any(x.count(c) > 1 for c in x),
    ),
)

FIELD_PREDICATES: tuple[Predicate, ...] = (
    Predicate("above", "", "above {0}|over {0}", "above_{0}", "{x} > {0}", "{x} <= {0}", lambda x, k: x > k, ("n",)),
    Predicate("below", "", "below {0}|under {0}", "below_{0}", "{x} < {0}", "{x} >= {0}", lambda x, k: x < k, ("n",)),
    Predicate(
        "at least",
        "",
        "of at least {0}|of {0} or more",
        "from_{0}",
        "{x} >= {0}",
        "{x} < {0}",
        lambda x, k: not x < k,
        ("n",),
    ),
    Predicate(
        "equal",
        "",
        "equal to {0}|of exactly {0}",
        "of_{0}",
        "{x} == {0}",
        "{x} != {0}",
        lambda x, k: not (x < k or x > k),
        ("n",),
    ),
)

PARAMETER_VALUES: dict[str, tuple[str, ...]] = {
    "n": ("5", "8", "10", "12", "15", "18", "20", "25", "30", "40", "50", "60", "75", "90", "100"),
    "d": ("3", "4", "5", "6", "7", "9", "10", "11"),
    "g": ("0", "1", "2", "3", "5", "7", "8"),
    "s": ("3", "4", "5", "6", "7", "8"),
    "c": tuple("abcdegilmnoprst"),
}
PARAMETER_PATTERNS = {"n": r"(\d+)", "d": r"(\d+)", "g": r"(\d)", "s": r"(\d+)", "c": r"(\w)"}
