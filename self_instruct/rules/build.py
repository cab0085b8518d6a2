"""Build the filters of a run from its options."""

from collections.abc import Sequence
from typing import Any

from self_instruct.errors import UserError
from self_instruct.novelty.tokens import unicode_tokens
from self_instruct.records import Record
from self_instruct.rules.filters import OUTPUT_RULES, RULES, SWITCHES, Filter, active_rules, build_filters, check_rules
from self_instruct.rules.filters.openings import without_programming
from self_instruct.rules.options import FilterOptions, RunFilterOptions
from self_instruct.rules.plugins import load_plugins


def build_rules(
    options: FilterOptions, header: str, rouge_tokenizer: str = "rouge", seeds: Sequence[Record] = ()
) -> list[Filter]:
    """Return the filters of a run.

    Records must not repeat `header`, the beginning of the prompts, or copy the outputs of `seeds`. With the `rouge_tokenizer`
    "unicode", words of any script are counted. Raises UserError if an option of a filter is invalid.
    """
    load_rules(options)
    _check_bounds("instruction_length", options.min_instruction_length, options.max_instruction_length)
    if "length" in options.filter_rules:
        _check_bounds("instruction_words", options.min_instruction_words, options.max_instruction_words)
    return build_filters(
        header, options.min_instruction_words, options.max_instruction_words, options.filter_keywords,
        options.filter_openings, options.keep_programming, _rules(options), _switches(options),
        unicode_tokens if rouge_tokenizer == "unicode" else None, seeds,
    )  # fmt: skip


def _check_bounds(name: str, low: int | None, high: int | None) -> None:
    if low is not None and high is not None and low > high:
        raise UserError(
            f"--min_{name} {low} is above --max_{name} {high}, so no record could pass; lower the minimum or raise the maximum"
        )


def load_rules(options: FilterOptions, where: str = "--filter_rules") -> None:
    """Load the plugins that the options name or need.

    Raises UserError for an unknown rule, named by the option `where`, or for a plugin that cannot be imported.
    """
    load_plugins(options.plugin, options.filter_rules)
    check_rules(options.filter_rules, where)


def _rules(options: FilterOptions) -> list[str]:
    """Return the listed rules, and those of --check_outputs if it is on."""
    more = OUTPUT_RULES if isinstance(options, RunFilterOptions) and options.check_outputs else ()
    return [*options.filter_rules, *(name for name in more if name not in options.filter_rules)]


def _switches(options: FilterOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for names in SWITCHES.values() for name in names}


def reasons_of_rules(options: FilterOptions) -> dict[str, tuple[str, ...]]:
    """Return the active filters of a run, each with its possible reasons."""
    load_rules(options)
    idle = {
        "keywords": not any(word.strip() for word in options.filter_keywords),
        "openings": not without_programming(options.filter_openings, options.keep_programming),
    }
    active = active_rules(_rules(options), _switches(options))
    return {name: RULES[name] for name in active if not idle.get(name)}
