"""The options of the filters."""

from dataclasses import dataclass

from self_instruct.config.option import option
from self_instruct.rules.filters import DEFAULT_RULES, OUTPUT_RULES, RULES
from self_instruct.rules.filters.openings import PROGRAMMING
from self_instruct.rules.sandbox import MODES

LANGUAGE_NAMES = ("python", "sql", "shell", "regex")
"""The languages of answers that can be run against tests."""


@dataclass(frozen=True)
class FilterOptions:
    """filters"""

    filter_rules: list[str] = option(
        list(DEFAULT_RULES), "filter rules to apply, in this order; the first that rejects a record gives the reason. "
        f"Available: {', '.join(RULES)}, and the rules of plugins", fixed=True, common=True,
    )  # fmt: skip
    plugin: list[str] = option(
        [],
        "Python modules or .py files that register your own filters or validators; installed packages "
        "with an entry point self_instruct.rules need no --plugin",
        fixed=True,
        path="if_dotted",
    )
    min_instruction_words: int = option(4, "minimum number of words in an instruction", minimum=0, fixed=True)
    max_instruction_words: int = option(150, "maximum number of words in an instruction", minimum=1, fixed=True)
    filter_keywords: list[str] = option(
        [],
        "drop instructions that contain one of these words; 'default' means the words of the "
        "Self-Instruct paper (image, graph, file, ...), 'alpaca' those and five more: suited to plain "
        "text, not to code",
        fixed=True,
        common=True,
    )
    filter_openings: list[str] = option(
        [PROGRAMMING[0]],
        "drop instructions that begin with one of these texts; a lower-case text matches any case",
        fixed=True,
    )
    keep_programming: bool = option(
        False, "keep instructions that begin with 'Write a program' or 'Write a function'", fixed=True
    )
    min_instruction_length: int | None = option(
        None, "minimum number of characters in an instruction [default: off]", minimum=0, fixed=True
    )
    max_instruction_length: int | None = option(
        None, "maximum number of characters in an instruction [default: off]", minimum=1, fixed=True
    )
    skip_instruction_re: list[str] = option(
        [], "drop instructions that match one of these regular expressions, ignoring case", fixed=True
    )
    code_gen_re: list[str] = option(
        [],
        "drop instructions that ask for a program according to these regular expressions; 'default' means "
        "a rule modelled on airoboros (write, generate, create, develop, implement or code ... a script, "
        "program, code or function)",
        fixed=True,
    )
    response_filters_path: str | None = option(
        None,
        "drop outputs that match a pattern of this YAML file, such as configs/response_filters.yaml; each "
        "pattern is first tested on its own examples [default: off]",
        path="always",
    )
    input_rouge_threshold: float | None = option(
        None,
        "drop records whose input and output have a ROUGE-L F1 of at least this [default: off]",
        above=0,
        maximum=1,
        fixed=True,
    )
    language: str | None = option(
        None, "drop instructions in languages other than this, such as en (needs py3langid) [default: off]", fixed=True
    )
    min_readability: float | None = option(
        None,
        "drop outputs whose English prose has a lower Flesch reading ease; 60 is plain, 30 hard [default: off]",
        fixed=True,
    )


@dataclass(frozen=True)
class RunFilterOptions(FilterOptions):
    """filters"""

    check_outputs: bool = option(
        True,
        f"in a run from seed tasks, also apply the rules {', '.join(OUTPUT_RULES)}: drop instructions that ask for nothing, "
        "and outputs that are only a name, repeat the task in other words, are invalid Python, or copy another output",
        fixed=True,
    )


@dataclass(frozen=True)
class VerifyOptions:
    """verify"""

    verify: list[str] = option(
        [],
        "languages whose answers are run against tests that the model writes; a run drops a task of these languages unless its "
        "answer passes tests that are not vacuous",
        choices=LANGUAGE_NAMES,
        fixed=True,
        common=True,
    )
    num_tests: int = option(5, "maximum number of tests that are run for a record", minimum=1, fixed=True)
    mutation_score_threshold: float = option(
        0.8,
        "share of an answer's mutants (copies with one small change) that its tests must reject; else they are vacuous",
        minimum=0,
        maximum=1,
        fixed=True,
    )
    test_seconds: float = option(
        5.0,
        "CPU seconds for each run of an answer with its tests; by the clock, it may take ten times as long",
        above=0,
        maximum=3600,
        fixed=True,
    )
    sandbox: str = option(
        "auto",
        "how to isolate answers and tests: bubblewrap, namespaces, the better of the two that works (auto), or none, which "
        "runs them with all your permissions",
        choices=MODES,
    )
