"""The options of the filters."""

from dataclasses import dataclass

from self_instruct.config.option import option
from self_instruct.rules.filters import DEFAULT_RULES, RULES
from self_instruct.rules.filters.openings import PROGRAMMING


@dataclass(frozen=True)
class FilterOptions:
    """filters"""

    filter_rules: list[str] = option(
        list(DEFAULT_RULES), "rules that are asked of a record, in this order; the first that objects is its reason; there "
        f"are {', '.join(RULES)}, and those of plugins", fixed=True, common=True,
    )  # fmt: skip
    plugin: list[str] = option(
        [], "Python modules, or .py files, that register filters or validators of your own; installed packages need no "
        "--plugin if they have an entry point self_instruct.rules", fixed=True, path="if_dotted",
    )  # fmt: skip
    min_instruction_words: int = option(4, "words that an instruction must have", minimum=0, fixed=True)
    max_instruction_words: int = option(150, "words that an instruction may have", minimum=1, fixed=True)
    filter_keywords: list[str] = option(
        [], "drop instructions with these words; 'default' stands for the words of the Self-Instruct paper "
        "(image, graph, file, ...), 'alpaca' for these and five more: right for plain text, wrong for code", fixed=True,
        common=True,
    )  # fmt: skip
    filter_openings: list[str] = option(
        [PROGRAMMING[0]], "drop instructions that begin so; a text without capitals is found in any case", fixed=True
    )
    keep_programming: bool = option(
        False, "keep instructions that begin with 'Write a program' or 'Write a function'", fixed=True
    )
    min_instruction_length: int | None = option(
        None, "characters that an instruction must have [default: off]", minimum=0, fixed=True
    )
    max_instruction_length: int | None = option(
        None, "characters that an instruction may have [default: off]", minimum=1, fixed=True
    )
    skip_instruction_re: list[str] = option(
        [], "drop instructions in which one of these regular expressions is found, in any case", fixed=True
    )
    code_gen_re: list[str] = option(
        [], "drop instructions that ask for a program, as told by these regular expressions; 'default' stands for a rule after "
        "that of airoboros (write, generate, create, develop, implement or code ... a script, program, code or function)",
        fixed=True,
    )  # fmt: skip
    response_filters_path: str | None = option(
        None, "drop outputs in which a pattern of this YAML file is found, as configs/response_filters.yaml; each is tried on "
        "its own examples first", path="always",
    )  # fmt: skip
    input_rouge_threshold: float | None = option(
        None, "drop records whose input and output have a ROUGE-L F1 of at least this [default: off]",
        above=0, maximum=1, fixed=True,
    )  # fmt: skip
    language: str | None = option(
        None,
        "drop instructions that are in another language than this, as en (needs py3langid) [default: off]",
        fixed=True,
    )
    min_readability: float | None = option(
        None,
        "drop outputs whose English prose has a lower Flesch reading ease: 60 is plain, 30 hard [default: off]",
        fixed=True,
    )
