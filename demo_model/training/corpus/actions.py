"""Actions on selected items of a list: wording, Python in several styles, and the reference function.

{o} is the object in the plural, {o1} in the singular. In code {x} is the item, {xs} the list, {c} the condition,
{n} its inverse, {sel} the generator of selected items. Independent of any particular noun or predicate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ALL_KINDS = "number word record"


@dataclass(frozen=True)
class Action:
    """A verb; `imperative` and `result` are '|' alternatives ("count the {o}", "the number of {o}").

    `quick` is an expression, `loop` the lines of an explicit loop; either may be empty, not both.
    """

    verb: str
    imperative: str
    result: str
    returns: str
    quick: str
    loop: str
    expected: Callable[..., object]
    kinds: str = ALL_KINDS


def _collect(line: str) -> str:
    return f"result = []\nfor {{x}} in {{xs}}:\n{line}\nreturn result"


ACTIONS: tuple[Action, ...] = (
    Action(
        "count",
        "count the {o}|count how many {o} there are|work out how many {o} occur",
        "the number of {o}|how many {o} it holds",
        "int",
        "sum(1 for {x} in {xs} if {c})|len([{x} for {x} in {xs} if {c}])",
        "count = 0\nfor {x} in {xs}:\n    if {c}:\n        count += 1\nreturn count",
        lambda xs, p: len(list(filter(p, xs))),
    ),
    Action(
        "keep",
        "keep only the {o}|collect the {o}|pick out the {o}|select the {o}",
        "all the {o}|a list of just the {o}",
        "list",
        "[{x} for {x} in {xs} if {c}]|list(filter(lambda {x}: {c}, {xs}))",
        _collect("    if {c}:\n        result.append({x})"),
        lambda xs, p: list(filter(p, xs)),
    ),
    Action(
        "remove",
        "remove the {o}|drop all {o}|throw away the {o}|leave out the {o}",
        "everything except the {o}|what is left without the {o}",
        "list",
        "[{x} for {x} in {xs} if {n}]",
        _collect("    if {c}:\n        continue\n    result.append({x})"),
        lambda xs, p: [x for x in xs if not p(x)],
    ),
    Action(
        "find first",
        "find the first {o1}|locate the earliest {o1}",
        "the first {o1}|the earliest {o1}",
        "",
        "next(({x} for {x} in {xs} if {c}), None)",
        "for {x} in {xs}:\n    if {c}:\n        return {x}\nreturn None",
        lambda xs, p: (list(filter(p, xs)) + [None])[0],
    ),
    Action(
        "find last",
        "find the last {o1}|search backwards for the latest {o1}",
        "the last {o1}|the final {o1}",
        "",
        "next(({x} for {x} in reversed({xs}) if {c}), None)",
        "for {x} in reversed({xs}):\n    if {c}:\n        return {x}\nreturn None",
        lambda xs, p: ([None] + list(filter(p, xs)))[-1],
    ),
    Action(
        "check any",
        "check whether any {o1} occurs|test if there is at least one {o1}",
        "True if there is any {o1}|whether at least one {o1} is present",
        "bool",
        "any({c} for {x} in {xs})",
        "for {x} in {xs}:\n    if {c}:\n        return True\nreturn False",
        lambda xs, p: bool(list(filter(p, xs))),
    ),
    Action(
        "check none",
        "make sure that no {o1} occurs|verify that there are no {o}",
        "True if it is free of {o}|whether it contains no {o1}",
        "bool",
        "not any({c} for {x} in {xs})",
        "for {x} in {xs}:\n    if {c}:\n        return False\nreturn True",
        lambda xs, p: not list(filter(p, xs)),
    ),
    Action(
        "check all",
        "check that it consists only of {o}|confirm that all of them are {o}",
        "whether all of them are {o}|True only if every item is among the {o}",
        "bool",
        "all({c} for {x} in {xs})",
        "for {x} in {xs}:\n    if {n}:\n        return False\nreturn True",
        lambda xs, p: all(map(p, xs)),
    ),
    Action(
        "sum",
        "add up the {o}|sum the {o}|total the {o}",
        "the sum of the {o}|the {o} added together",
        "int",
        "sum({sel})",
        "total = 0\nfor {x} in {xs}:\n    if {c}:\n        total += {x}\nreturn total",
        lambda xs, p: sum(filter(p, xs)),
        "number",
    ),
    Action(
        "average",
        "average the {o}|compute the mean of the {o}",
        "the average of the {o}|the mean of the {o}",
        "float",
        "",
        "chosen = [{x} for {x} in {xs} if {c}]\nreturn sum(chosen) / len(chosen) if chosen else 0",
        lambda xs, p: sum(filter(p, xs)) / max(1, len(list(filter(p, xs)))),
        "number",
    ),
    Action(
        "largest",
        "find the largest of the {o}|pick the maximum of the {o}",
        "the largest of the {o}|the highest among the {o}",
        "",
        "max(({sel}), default=None)",
        "best = None\nfor {x} in {xs}:\n    if {c} and (best is None or {x} > best):\n        best = {x}\nreturn best",
        lambda xs, p: max(filter(p, xs), default=None),
        "number",
    ),
    Action(
        "smallest",
        "find the smallest of the {o}|pick the minimum of the {o}",
        "the smallest of the {o}|the lowest among the {o}",
        "",
        "min(({sel}), default=None)",
        "best = None\nfor {x} in {xs}:\n    if {c} and (best is None or {x} < best):\n        best = {x}\nreturn best",
        lambda xs, p: min(filter(p, xs), default=None),
        "number",
    ),
    Action(
        "multiply",
        "multiply the {o} together|compute the product of the {o}",
        "the product of the {o}",
        "int",
        "",
        "product = 1\nfor {x} in {xs}:\n    if {c}:\n        product *= {x}\nreturn product",
        lambda xs, p: _product(filter(p, xs)),
        "number",
    ),
    Action(
        "square",
        "square the {o}|add up the squares of the {o}",
        "the sum of the squares of the {o}",
        "int",
        "sum({x} ** 2 for {x} in {xs} if {c})",
        "total = 0\nfor {x} in {xs}:\n    if {c}:\n        total += {x} ** 2\nreturn total",
        lambda xs, p: sum(x * x for x in xs if p(x)),
        "number",
    ),
    Action(
        "double",
        "double the {o} and leave the rest alone|multiply just the {o} by two",
        "a list in which the {o} are doubled",
        "list",
        "[{x} * 2 if {c} else {x} for {x} in {xs}]",
        _collect("    result.append({x} * 2 if {c} else {x})"),
        lambda xs, p: [x + x if p(x) else x for x in xs],
        "number",
    ),
    Action(
        "zero",
        "replace the {o} by zero|set the {o} to 0",
        "a list with 0 in place of the {o}",
        "list",
        "[0 if {c} else {x} for {x} in {xs}]",
        _collect("    result.append(0 if {c} else {x})"),
        lambda xs, p: [0 if p(x) else x for x in xs],
        "number",
    ),
    Action(
        "longest",
        "find the longest of the {o}|pick the longest among the {o}",
        "the longest of the {o}",
        "",
        "max(({sel}), key=len, default=None)",
        "best = None\nfor {x} in {xs}:\n    if {c} and (best is None or len({x}) > len(best)):\n"
        "        best = {x}\nreturn best",
        lambda xs, p: max(filter(p, xs), key=len, default=None),
        "word",
    ),
    Action(
        "join",
        "join the {o} with commas|glue the {o} together with commas",
        "one string of the {o} separated by commas",
        "str",
        '", ".join({sel})',
        "",
        lambda xs, p: ", ".join(filter(p, xs)),
        "word",
    ),
    Action(
        "uppercase",
        "uppercase the {o} and leave the others|convert just the {o} to capitals",
        "a list in which the {o} are in capitals",
        "list",
        "[{x}.upper() if {c} else {x} for {x} in {xs}]",
        _collect("    result.append({x}.upper() if {c} else {x})"),
        lambda xs, p: [x.upper() if p(x) else x for x in xs],
        "word",
    ),
    Action(
        "reverse",
        "spell the {o} backwards and keep the others|turn around the letters of the {o}",
        "a list with the {o} spelled backwards",
        "list",
        "[{x}[::-1] if {c} else {x} for {x} in {xs}]",
        _collect("    if {c}:\n        {x} = {x}[::-1]\n    result.append({x})"),
        lambda xs, p: [x[::-1] if p(x) else x for x in xs],
        "word",
    ),
    Action(
        "measure",
        "measure the length of each of the {o}|store how long each of the {o} is",
        "a dictionary from the {o} to their lengths",
        "dict",
        "{{{x}: len({x}) for {x} in {xs} if {c}}}",
        "lengths = {{}}\nfor {x} in {xs}:\n    if {c}:\n        lengths[{x}] = len({x})\nreturn lengths",
        lambda xs, p: {x: len(x) for x in filter(p, xs)},
        "word",
    ),
)


def _product(values: object) -> int:
    result = 1
    for value in values:  # type: ignore[attr-defined]
        result = result * value
    return result
