"""Filters: functions `Record -> reason | None` that accept or reject a record by itself.

A reason is one word, optionally with details: `too_long` or `too_long: 212 words`. A filter that raises an exception rejects
the record with `rule_failed`. Every filter takes linear time in the length of the text, which may be hostile. `duplicates`
remembers earlier records, so build a new list of filters for each run.

To add a filter, write a function in one of these files, add its name and reasons to `RULES` and a line to `build_filters`,
and test it. The filters in `SWITCHES` are active whenever one of their options is given, even if --filter_rules omits them.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.failures import guarded
from self_instruct.rules.filters.duplicates import drop_copied_output, drop_duplicates
from self_instruct.rules.filters.instances import drop_blank, drop_colon, drop_input_as_output
from self_instruct.rules.filters.keywords import drop_keywords
from self_instruct.rules.filters.language import drop_language
from self_instruct.rules.filters.length import drop_characters, drop_length
from self_instruct.rules.filters.openings import (
    PROGRAMMING,
    drop_leading_symbol,
    drop_non_ascii,
    drop_openings,
    drop_punctuation,
    without_programming,
)
from self_instruct.rules.filters.output import drop_copied_input, drop_echo, drop_empty, drop_output_repeats_task
from self_instruct.rules.filters.patterns import drop_matching
from self_instruct.rules.filters.python_code import drop_invalid_python
from self_instruct.rules.filters.readability import drop_unreadable
from self_instruct.rules.filters.refusals import drop_refusal
from self_instruct.rules.filters.repetition import drop_loop
from self_instruct.rules.filters.requests import drop_statement, drop_unanswered
from self_instruct.rules.filters.responses import drop_responses

Filter = Callable[[Record], str | None]

RULES: dict[str, tuple[str, ...]] = {
    "empty": ("empty_instruction", "empty_output"),
    "length": ("too_short", "too_long"),
    "keywords": ("keyword",),
    "openings": ("opening",),
    "punctuation": ("starts_with_punctuation",),
    "non_ascii": ("starts_with_non_ascii",),
    "repeats_task": ("output_repeats_task",),
    "echo": ("echoes_prompt",),
    "loops": ("loops",),
    "blank": ("empty_instruction", "empty_output"),
    "input_as_output": ("input_as_output",),
    "colon": ("ends_with_colon",),
    "refusals": ("refusal",),
    "requests": ("asks_nothing",),
    "unanswered": ("bare_name", "restates_task"),
    "python": ("invalid_python",),
    "copied_output": ("copies_output",),
    "duplicates": ("duplicate",),
    "characters": ("too_few_characters", "too_many_characters"),
    "skip_instruction": ("skipped",),
    "code_generation": ("asks_for_code",),
    "responses": ("response",),
    "copied_input": ("copies_input",),
    "language": ("wrong_language",),
    "readability": ("hard_to_read",),
}
"""Every filter by name, with its possible reasons."""

DEFAULT_RULES = (
    "empty", "length", "keywords", "openings", "punctuation", "non_ascii", "repeats_task", "echo", "loops",
)  # fmt: skip
"""The filters that are active by default. The others are rules of earlier systems: too strict, or covered by these."""

OUTPUT_RULES = ("requests", "unanswered", "python", "copied_output")
"""The filters of --check_outputs: they drop instructions that are no tasks, and outputs that are no answers."""

OF_EARLIER_RECORDS = ("copied_output", "duplicates")
"""The filters that compare a record with all earlier ones."""

_ADDED: dict[str, Filter] = {}
"""Filters that plugins registered."""

_REASONS_OF_EMPTY_OUTPUTS = ("empty_output", "output_repeats_task", "input_as_output")

SWITCHES: dict[str, tuple[str, ...]] = {
    "characters": ("min_instruction_length", "max_instruction_length"),
    "skip_instruction": ("skip_instruction_re",),
    "code_generation": ("code_gen_re",),
    "responses": ("response_filters_path",),
    "copied_input": ("input_rouge_threshold",),
    "language": ("language",),
    "readability": ("min_readability",),
}
"""Filters that are active exactly if one of these options is given."""


def add_filter(name: str, reasons: tuple[str, ...], rule: Filter) -> None:
    """Add a filter to `RULES`. Raises ValueError if another filter has the name."""
    if name in RULES and _ADDED.get(name) is not rule:
        raise ValueError(f"a filter named {name} already exists; choose another name")
    RULES[name], _ADDED[name] = reasons, rule


def check_rules(rules: Sequence[str], where: str = "--filter_rules") -> None:
    """Raise UserError for the first name that is not in `RULES`; the message begins with `where`, the option."""
    for at, name in enumerate(rules):
        if name not in RULES:
            close = difflib.get_close_matches(name, RULES, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(f"{where}[{at}] is {name!r}, but must be one of {', '.join(RULES)}{hint}")


def active_rules(rules: Sequence[str], switches: Mapping[str, Any]) -> list[str]:
    """Return the names of the active filters in order.

    These are the listed `rules`, except filters of `SWITCHES` without a given option, then the other filters whose option is
    given.
    """
    on = [
        name for name, options in SWITCHES.items() if any(switches.get(option) not in (None, []) for option in options)
    ]
    return [name for name in rules if name in on or name not in SWITCHES] + [name for name in on if name not in rules]


def build_filters(
    header: str,
    min_instruction_words: int = 4,
    max_instruction_words: int = 150,
    keywords: Sequence[str] = (),
    openings: Sequence[str] = PROGRAMMING[:1],
    keep_programming: bool = False,
    rules: Sequence[str] = DEFAULT_RULES,
    switches: Mapping[str, Any] | None = None,
    tokenizer: Callable[[str], list[str]] | None = None,
    seeds: Sequence[Record] = (),
) -> list[Filter]:
    """Return the filters of a run in the order in which they are applied.

    `switches` maps the options in `SWITCHES` to their values. A `tokenizer` for words of any script counts the words, and an
    instruction may then begin in any script; without one, words are separated by white space, and an instruction must begin
    with an ASCII character. `copied_output` also drops copies of the outputs of `seeds`. Raises UserError for an invalid
    pattern, an unreadable file or an unknown language.
    """
    options = switches or {}
    makers: dict[str, Callable[[], Filter]] = {
        "empty": lambda: drop_empty,
        "length": lambda: drop_length(min_instruction_words, max_instruction_words, tokenizer or str.split),
        "keywords": lambda: drop_keywords(keywords),
        "openings": lambda: drop_openings(without_programming(openings, keep_programming)),
        "punctuation": lambda: drop_punctuation,
        "non_ascii": lambda: drop_leading_symbol if tokenizer else drop_non_ascii,
        "repeats_task": lambda: drop_output_repeats_task,
        "echo": lambda: drop_echo(header, tokenizer),
        "loops": lambda: drop_loop(tokenizer),
        "blank": lambda: drop_blank,
        "input_as_output": lambda: drop_input_as_output,
        "colon": lambda: drop_colon,
        "refusals": lambda: drop_refusal,
        "duplicates": drop_duplicates,
        "requests": lambda: drop_statement,
        "unanswered": lambda: drop_unanswered,
        "python": lambda: drop_invalid_python,
        "copied_output": lambda: drop_copied_output(seeds),
        "characters": lambda: drop_characters(
            options.get("min_instruction_length"), options.get("max_instruction_length")
        ),
        "skip_instruction": lambda: drop_matching(
            options.get("skip_instruction_re", ()), "--skip_instruction_re", "skipped"
        ),
        "code_generation": lambda: drop_matching(options.get("code_gen_re", ()), "--code_gen_re", "asks_for_code"),
        "responses": lambda: drop_responses(options.get("response_filters_path")),
        "copied_input": lambda: drop_copied_input(options.get("input_rouge_threshold"), tokenizer),
        "language": lambda: drop_language(options.get("language")),
        "readability": lambda: drop_unreadable(options.get("min_readability")),
    }
    return [
        guarded(name, _ADDED[name] if name in _ADDED else makers[name](), NoneType)
        for name in active_rules(rules, options)
    ]


def about_tasks(filters: Sequence[Filter]) -> list[Filter]:
    """Adapt filters to tasks that have no output yet: ignore the reasons that an empty output causes."""
    return [_ignore_empty_output(rule) for rule in filters]


def _ignore_empty_output(rule: Filter) -> Filter:
    def task_rule(record: Record) -> str | None:
        reason = rule(record)
        return None if reason in _REASONS_OF_EMPTY_OUTPUTS else reason

    return task_rule


def first_reason(filters: Sequence[Filter], record: Record) -> str | None:
    """Return the reason of the first filter that rejects a record, or None."""
    return next((reason for rule in filters if (reason := rule(record)) is not None), None)
