"""The options of reading, converting, merging, decontaminating and publishing datasets. None is part of a generation run."""

from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.config.option import option
from self_instruct.datasets.defects import NAMES as FAULTS
from self_instruct.datasets.mending import MENDED
from self_instruct.datasets.reading import AUTO, INPUT_FORMATS, Source
from self_instruct.datasets.template import PREAMBLE
from self_instruct.datasets.writing import LMFLOW_TYPES, SUFFIXES
from self_instruct.rules.filters import RULES
from self_instruct.rules.options import FilterOptions

INPUT = {"IN...": ["input_path"]}
"""The files of a dataset command, with or without the name of the option."""


@dataclass(frozen=True)
class InputOptions:
    """input"""

    input_path: list[str] = option(
        [],
        "files, folders of the datasets library or Hub ids, in order; - reads from a pipe",
        path="source",
        common=True,
    )


@dataclass(frozen=True)
class CurationOptions(InputOptions):
    """what is curated (not part of a generation run)"""

    output_path: str | None = option(
        None,
        "JSONL file of what is kept; what is rejected and the counts are put beside it",
        path="always",
        alias="output",
        common=True,
    )


@dataclass(frozen=True)
class ReadingOptions:
    """reading"""

    input_format: str = option(
        AUTO, "format of the input; auto: told by its content", choices=INPUT_FORMATS, common=True
    )
    split: str | None = option(
        None, "which split is read of a folder or Hub dataset [default: train, or the only one]"
    )

    def sources(self, paths: Sequence[str]) -> list[Source]:
        """Return the sources at these paths, to be read by these options."""
        return [Source(path, format=self.input_format, split=self.split) for path in paths]


@dataclass(frozen=True)
class OutputOptions:
    """writing"""

    output_path: str | None = option(
        None, "file that is written; what is not in it and the counts are put beside it. - writes to a pipe", path="always",
        alias="output", common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class ConversionOptions:
    """converting"""

    to: str | None = option(None, "format that is written", choices=tuple(SUFFIXES))
    source: str | None = option(None, "name of the source that every record carries")
    license: str | None = option(None, "licence of the source that every record carries")
    lmflow_type: str = option(
        "auto", "type of an LMFlow file; auto: conversation if the input is of conversations or has system prompts, else "
        "text2text", choices=LMFLOW_TYPES,
    )  # fmt: skip
    vicuna_preamble: str = option(
        PREAMBLE, "what the text of Vicuna's template begins with if there is no system prompt"
    )


@dataclass(frozen=True)
class MergeOptions:
    """merging"""

    sources: list[str] = option(
        [], "what is merged, as NAME=PATH or NAME=HUB_ID; of records that are too near, the one of the earlier source is kept",
        path="named", common=True,
    )  # fmt: skip
    licenses: list[str] = option([], "licences of sources, as NAME=LICENCE", common=True)
    input_formats: list[str] = option([], "formats of sources, as NAME=FORMAT; the others are told by their content")


@dataclass(frozen=True)
class MergeFilterOptions(FilterOptions):
    """filters"""

    filter_rules: list[str] = option(
        ["empty", "duplicates"], "rules that are asked of a record, in this order; the first that objects is its reason; there "
        f"are {', '.join(RULES)}, and those of plugins", common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class DecontaminationOptions:
    """benchmarks"""

    benchmarks: list[str] = option(
        [], "files of benchmarks whose tasks must not be in the output: HumanEval, MBPP, GSM8K, or any that can be read as "
        "instructions", path="named", common=True,
    )  # fmt: skip
    ngram_words: int = option(13, "words in a row that a record and a benchmark may not have in common", minimum=2)
    substring_words: int = option(
        8, "a benchmark's text of fewer words than --ngram_words counts as found if all of it stands in a record, and it has "
        "at least so many", minimum=1,
    )  # fmt: skip


@dataclass(frozen=True)
class ConversationOutputOptions:
    """format"""

    to: str = option("sharegpt", "format that is written", choices=tuple(SUFFIXES))


@dataclass(frozen=True)
class CleaningOptions:
    """cleaning"""

    html: str = option(
        "auto", "convert HTML that a page was saved as to Markdown; auto: where a text is nothing else",
        choices=("auto", "never"),
    )  # fmt: skip
    drop_mentions: list[str] = option(
        [], "words that nobody may say in a conversation, whatever their case; Vicuna's are openai chatgpt"
    )
    keep_languages: list[str] = option(
        [], "leave out conversations that are in another language than these, as en de (needs py3langid)"
    )
    skip_languages: list[str] = option([], "leave out conversations in these languages, as ko (needs py3langid)")
    repeated_digits: int | None = option(
        None, "leave out samples in which a digit stands so many times in a row; FastChat's is 9 [default: off]", minimum=2
    )  # fmt: skip
    wrong_lists: bool = option(
        True, "leave out samples in which a numbered list of an answer begins anew before it came to 2"
    )
    max_tokens: int | None = option(
        None, "split conversations at so many tokens, with 6 for every turn and the system prompt; Vicuna's is 2048 "
        "[default: off]", minimum=1,
    )  # fmt: skip
    model_name_or_path: str | None = option(
        None, "whose tokenizer counts tokens [default: an estimate by bytes]", path="if_dotted"
    )
    model_revision: str | None = option(None, "branch, tag or commit of that model")
    trust_remote_code: bool = option(False, "run Python code that comes with that model; only for sources you trust")


@dataclass(frozen=True)
class LintOptions:
    """faults"""

    checks: list[str] = option(list(FAULTS), "faults that are looked for", choices=FAULTS)
    examples: int = option(3, "how many rows with each fault are shown", minimum=0)
    fix: bool = option(
        False, f"mend what has one right answer ({', '.join(MENDED)}) and write all rows to --output_path"
    )  # fmt: skip
    fail_on: list[str] = option([], "faults for which the exit code is 1 if any row has them", choices=FAULTS)
    report: str | None = option(
        None, "file of JSON for the counts; - prints it in place of the table [default: with --fix, OUT.report.json]",
        path="always",
    )  # fmt: skip


@dataclass(frozen=True)
class CardOptions:
    """card"""

    output_path: str | None = option(
        None, "directory of the repository: a new one, an empty one, or one of an earlier card", path="always",
        alias="output", common=True,
    )  # fmt: skip
    pretty_name: str | None = option(None, "name of the dataset for people [default: that of the directory]")
    license: str | None = option(None, "licence of the dataset, by its id on the Hub, as cc-by-4.0")
    language: list[str] = option([], "languages of the dataset, by their codes, as en de")
    model_license: str | None = option(
        None, "licence of the model that wrote the records [default: what a model's folder says in its README.md]"
    )


@dataclass(frozen=True)
class HubOptions:
    """publishing"""

    push_to_hub: str | None = option(
        None, "send the repository to this one of the Hub, OWNER/NAME; made if it is not there"
    )
    private: bool = option(False, "a new repository is private")
    dry_run: bool = option(False, "only tell what would be sent")
