"""The options of the dataset commands. None of them is an option of a generation run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from self_instruct.config.option import option
from self_instruct.config.parser import parse_values
from self_instruct.datasets.defects import NAMES as FAULTS
from self_instruct.datasets.fixing import FIXED
from self_instruct.datasets.instruction_file import COMPARED
from self_instruct.datasets.mapping import parse_map
from self_instruct.datasets.reading import AUTO, INPUT_FORMATS, Source
from self_instruct.datasets.template import PREAMBLE
from self_instruct.datasets.writing import LMFLOW_TYPES, SUFFIXES
from self_instruct.errors import UserError
from self_instruct.rules.filters import RULES
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import records_in
from self_instruct.runs.options import RunPlace


@dataclass(frozen=True)
class InputOptions:
    """input"""

    input_path: list[str] = option(
        [],
        "input files, directories of the datasets library or Hub ids, in order; - reads standard input",
        path="source",
        common=True,
    )


@dataclass(frozen=True)
class CurationOptions(InputOptions):
    """input and output"""

    output_path: str | None = option(
        None,
        "JSONL file of the kept records; rejected records and counts are written beside it",
        path="always",
        alias="output",
        common=True,
    )


@dataclass(frozen=True)
class ReadingOptions:
    """reading"""

    input_format: str = option(
        AUTO, "format of the input; auto: detected from its content", choices=INPUT_FORMATS, common=True
    )
    split: str | None = option(
        None,
        "split to read, such as test or 'train[:500]' [default: the whole file; of a dataset, train or the only split]",
    )

    map: list[str] = option(
        [],
        "fields of rows in an unknown format, such as instruction=prompt,output=completion.text; replaces --input_format",
    )

    def sources(self, paths: Sequence[str], name: str = "", license: str = "", shown: str = "") -> list[Source]:
        """Return the sources at these paths, to be read by these options. Messages have `shown` in place of a path."""
        paths_of = tuple(parse_map(self.map).items())
        return [Source(path, name, license, self.input_format, self.split, paths_of, shown) for path in paths]


@dataclass(frozen=True)
class ComparisonOptions:
    """comparing"""

    compare: str | None = option(
        None,
        "text that novelty compares: the instruction, the instruction with the input, or all turns [default: task for single "
        "exchanges, conversation for longer ones]",
        choices=COMPARED,
    )


@dataclass(frozen=True)
class ClusterOptions:
    """many tasks"""

    executor: str | None = option(
        None,
        "curate in many tasks of datatrove, here, as jobs of Slurm or on a Ray cluster, with the same output "
        "[default: one process]",
        choices=("local", "slurm", "ray"),
        common=True,
    )
    tasks: int = option(8, "with --executor, the number of tasks", minimum=1, common=True)
    sbatch: list[str] = option(
        [], "with --executor slurm, options of sbatch, such as partition=cpu time=04:00:00 mem-per-cpu=8G"
    )

    @property
    def sbatch_values(self) -> dict[str, str]:
        """The options of sbatch by name. Raises UserError for a text without a value."""
        for text in self.sbatch:
            if not all(text.partition("=")):
                raise UserError(f"--sbatch {text}: must be NAME=VALUE, such as partition=cpu")
        return dict(text.split("=", 1) for text in self.sbatch)


@dataclass(frozen=True)
class OutputOptions:
    """writing"""

    output_path: str | None = option(
        None,
        "output file; rejected records and counts are written beside it. - writes to standard output",
        path="always",
        alias="output",
        common=True,
    )


def parse_inputs(argv: Sequence[str], description: str, *groups: type) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a command that reads files and runs into one output, and the files: `groups` are its own options.

    Raises UserError if the arguments are invalid.
    """
    shared, by = (RunPlace, InputOptions, ReadingOptions, OutputOptions), {"IN...": ["input_path", "batch_dir"]}
    given, inputs = parse_values(argv, description, (*shared, *groups), positional=tuple(by), by=by)
    return given, records_in(inputs)


@dataclass(frozen=True)
class ConversionOptions:
    """converting"""

    to: str | None = option(None, "output format", choices=tuple(SUFFIXES))
    source: str | None = option(None, "name of the source, stored in each record [default: none]")
    license: str | None = option(None, "licence of the source, stored in each record [default: none]")
    with_provenance: bool = option(False, "for messages: also write the provenance of each record")
    lmflow_type: str = option(
        "auto",
        "type of an LMFlow file; auto: conversation if the input has conversations or system prompts, else text2text",
        choices=LMFLOW_TYPES,
    )
    vicuna_preamble: str = option(PREAMBLE, "beginning of Vicuna's text template if there is no system prompt")


@dataclass(frozen=True)
class MergeOptions:
    """merging"""

    sources: list[str] = option(
        [],
        "sources to merge, as NAME=PATH or NAME=HUB_ID; of near-duplicates the one from the earlier source is kept",
        path="named",
        common=True,
    )
    licenses: list[str] = option([], "licences of the sources, as NAME=LICENCE", common=True)
    input_formats: list[str] = option(
        [], "formats of the sources, as NAME=FORMAT; the others are detected from their content"
    )


@dataclass(frozen=True)
class MergeFilterOptions(FilterOptions):
    """filters"""

    filter_rules: list[str] = option(
        ["empty", "duplicates"], "filter rules to apply, in this order; the first that rejects a record gives the reason. "
        f"Available: {', '.join(RULES)}, and the rules of plugins", common=True,
    )  # fmt: skip


@dataclass(frozen=True)
class DecontaminationOptions:
    """benchmarks"""

    benchmarks: list[str] = option(
        [],
        "benchmark files whose tasks must not be in the output: HumanEval, MBPP, GSM8K, MATH, MMLU, ARC, "
        "SQuAD, MT-bench, or any file of instructions that convert can read",
        path="named",
        common=True,
    )
    ngram_words: int = option(
        13, "drop a record that shares this number of consecutive words with a benchmark", minimum=2
    )
    substring_words: int = option(
        8,
        "a benchmark text shorter than --ngram_words, but of at least this number of words, matches if a "
        "record contains all of it",
        minimum=1,
    )


@dataclass(frozen=True)
class SelectOptions:
    """selecting"""

    by: str | None = option(None, "column with the numbers for --top, such as ifd", common=True)
    top: float | None = option(
        None,
        "keep this share of the rows, those with the highest numbers in --by; 0.5 is half of them",
        above=0,
        maximum=1,
        common=True,
    )
    min: list[str] = option([], "lowest numbers to keep, as COLUMN=NUMBER, such as likelihood=0.05", common=True)
    max: list[str] = option([], "highest numbers to keep, as COLUMN=NUMBER, such as ifd=1", common=True)
    diverse: float | None = option(
        None,
        "keep this share of the rows that remain, so that their tasks cover those of the others (k-center greedy on "
        "embeddings)",
        above=0,
        maximum=1,
        common=True,
    )


SELECT_NAMES = (
    *ReadingOptions.__dataclass_fields__, *SelectOptions.__dataclass_fields__, "embedding_model_name_or_path"
)  # fmt: skip
"""The options of a selection, besides input and output."""


@dataclass(frozen=True)
class ConversationOutputOptions:
    """format"""

    to: str = option("sharegpt", "output format", choices=tuple(SUFFIXES))


@dataclass(frozen=True)
class CleaningOptions:
    """cleaning"""

    html: str = option(
        "auto", "convert HTML to Markdown; auto: only texts that are HTML throughout", choices=("auto", "never")
    )
    drop_mentions: list[str] = option(
        [], "drop conversations that contain one of these words, in any case; Vicuna uses openai chatgpt"
    )
    keep_languages: list[str] = option(
        [], "drop conversations in languages other than these, such as en de (needs py3langid)"
    )
    skip_languages: list[str] = option([], "drop conversations in these languages, such as ko (needs py3langid)")
    repeated_digits: int | None = option(
        None, "drop samples with this number of equal digits in a row; FastChat uses 9 [default: off]", minimum=2
    )
    wrong_lists: bool = option(
        True, "drop samples in which a numbered list of an answer restarts at 1 before it reaches 2"
    )
    max_tokens: int | None = option(
        None,
        "split conversations that are longer than this number of tokens, counting 6 more for each turn "
        "and the system prompt; Vicuna uses 2048 [default: off]",
        minimum=1,
    )
    model_name_or_path: str | None = option(
        None, "model whose tokenizer counts tokens [default: an estimate from bytes]", path="if_dotted"
    )
    model_revision: str | None = option(None, "branch, tag or commit of that model [default: the main branch]")
    trust_remote_code: bool = option(
        False, "run Python code that comes with that model; use only with models that you trust"
    )


@dataclass(frozen=True)
class LintOptions:
    """faults"""

    checks: list[str] = option(list(FAULTS), "faults to look for", choices=FAULTS)
    examples: int = option(3, "number of example rows to show for each fault", minimum=0)
    fix: bool = option(
        False, f"fix the faults that have one right correction ({', '.join(FIXED)}) and write all rows to --output_path"
    )  # fmt: skip
    fail_on: list[str] = option([], "faults that make the exit code 1 if any row has them", choices=FAULTS)
    report: str | None = option(
        None,
        "JSON file for the counts; - prints them in place of the table [default: with --fix, OUT.report.json]",
        path="always",
    )


@dataclass(frozen=True)
class CardOptions:
    """card"""

    output_path: str | None = option(
        None,
        "directory of the repository: new, empty, or written by an earlier card command",
        path="always",
        alias="output",
        common=True,
    )
    pretty_name: str | None = option(None, "display name of the dataset [default: the name of the directory]")
    license: str | None = option(None, "licence of the dataset, as a Hub id such as cc-by-4.0")
    language: list[str] = option([], "language codes of the dataset, such as en de")
    model_license: str | None = option(
        None, "licence of the model that generated the records [default: from README.md in a model directory]"
    )
    dry_run: bool = option(False, "only list what would be uploaded")


@dataclass(frozen=True)
class HubOptions:
    """publishing"""

    push_to_hub: str | None = option(None, "upload the dataset to OWNER/NAME on the Hub; it is created if needed")
    private: bool = option(False, "create a new repository as private")


@dataclass(frozen=True)
class PushOptions:
    """publishing during a run"""

    push_every: int = option(
        1000,
        "with --push_to_hub, push each time that this many records are new, and the rest at the end of the launch",
        minimum=1,
    )
