"""The options of choosing: filters, novelty, self-consistency, the judge, and the curation of files."""

from dataclasses import dataclass

from self_instruct.config.option import option
from self_instruct.filters import DEFAULT_RULES, RULES
from self_instruct.filters.openings import PROGRAMMING


@dataclass(frozen=True)
class FilterOptions:
    """filters"""

    filter_rules: list[str] = option(
        list(DEFAULT_RULES), "rules that are asked of a record, in this order; the first that objects is its reason",
        choices=tuple(RULES), plan=True,
    )  # fmt: skip
    min_instruction_words: int = option(4, "words that an instruction must have", minimum=0, plan=True)
    max_instruction_words: int = option(150, "words that an instruction may have", minimum=1, plan=True)
    filter_keywords: list[str] = option(
        [], "drop instructions with these words; 'default' stands for the words of the Self-Instruct paper "
        "(image, graph, file, ...), 'alpaca' for these and five more: right for plain text, wrong for code", plan=True,
    )  # fmt: skip
    filter_openings: list[str] = option(
        [PROGRAMMING[0]], "drop instructions that begin so; a text without capitals is found in any case", plan=True
    )
    keep_programming: bool = option(
        False, "keep instructions that begin with 'Write a program' or 'Write a function'", plan=True
    )
    min_instruction_length: int | None = option(
        None, "characters that an instruction must have [default: off]", minimum=0, plan=True
    )
    max_instruction_length: int | None = option(
        None, "characters that an instruction may have [default: off]", minimum=1, plan=True
    )
    skip_instruction_re: list[str] = option(
        [], "drop instructions in which one of these regular expressions is found, in any case", plan=True
    )
    code_gen_re: list[str] = option(
        [], "drop instructions that ask for a program, as told by these regular expressions; 'default' stands for a rule after "
        "that of airoboros (write, generate, create, develop, implement or code ... a script, program, code or function)",
        plan=True,
    )  # fmt: skip
    response_filters_path: str | None = option(
        None, "drop outputs in which a pattern of this YAML file is found, as configs/response_filters.yaml; each is tried on "
        "its own examples first", path="always",
    )  # fmt: skip
    input_rouge_threshold: float | None = option(
        None, "drop records whose input and output have a ROUGE-L F1 of at least this [default: off]",
        above=0, maximum=1, plan=True,
    )  # fmt: skip
    language: str | None = option(
        None,
        "drop instructions that are in another language than this, as en (needs py3langid) [default: off]",
        plan=True,
    )
    min_readability: float | None = option(
        None,
        "drop outputs whose English prose has a lower Flesch reading ease: 60 is plain, 30 hard [default: off]",
        plan=True,
    )


@dataclass(frozen=True)
class NoveltyOptions:
    """novelty"""

    rouge_threshold: float = option(
        0.7, "keep a record if its ROUGE-L F1 with every seed and every accepted record is below this",
        above=0, maximum=1.01, plan=True, alias="threshold",
    )  # fmt: skip
    rouge_rule: str = option(
        "below", "what the threshold allows; not_above keeps a record at the threshold too, as the first self-instruct did",
        choices=("below", "not_above"), plan=True,
    )  # fmt: skip
    rouge_tokenizer: str = option(
        "rouge", "words that ROUGE-L compares; rouge: a-z and 0-9 only, as rouge_score; unicode: of any script, also where "
        "filters count words and look at how a text begins, for text that is not in English",
        choices=("rouge", "unicode"), plan=True,
    )  # fmt: skip
    embedding_threshold: float | None = option(
        None, "also keep only if the cosine similarity is below this [default: off]", above=-1, maximum=1.01, plan=True
    )
    embedding_model_name_or_path: str = option(
        "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers model", path="if_dotted", plan=True
    )
    embedding_reference: str = option(
        "kept", "what meanings are compared with; kept: seeds and accepted records; all: also the candidates dropped for their "
        "meaning, which keeps fewer", choices=("kept", "all"), plan=True,
    )  # fmt: skip


@dataclass(frozen=True)
class ConsistencyOptions:
    """self-consistency (not part of a generation run)"""

    num_trials: int = option(3, "predictions of each record's instruction", minimum=1)
    self_consistency_threshold: float = option(
        0.5, "keep a record if its instruction and what is predicted from its output have at least this cosine similarity",
        minimum=-1, maximum=1,
    )  # fmt: skip
    self_consistency_rouge_threshold: float | None = option(
        None, "also keep only if their ROUGE-L F1 is at least this [default: off]", minimum=0, maximum=1
    )
    self_consistency_rule: str = option(
        "mean", "the score of a record: mean of its trials, which more trials make steadier; or best, which more trials raise",
        choices=("mean", "best"),
    )  # fmt: skip
    no_embeddings: bool = option(
        False, "compare by ROUGE-L alone; no embedding model is loaded, --self_consistency_rouge_threshold decides"
    )


@dataclass(frozen=True)
class JudgeOptions:
    """judge (not part of a generation run)"""

    judge_threshold: float = option(
        3.0, "keep a record that is judged good if the mean of its scores, which go from 1 to 5, is at least this",
        minimum=1, maximum=5,
    )  # fmt: skip


@dataclass(frozen=True)
class CurationOptions:
    """what is curated (not part of a generation run)"""

    input_path: list[str] = option(
        [], "files, folders of the datasets library or Hub ids, in order; - reads from a pipe", path="source"
    )
    output_path: str | None = option(
        None, "JSONL file of what is kept; what is rejected and the counts are put beside it", path="always"
    )
    shards: int | None = option(
        None,
        "the search is shared by so many calls with a --shard_index each; one more without it then decides",
        minimum=1,
    )
    shard_index: int | None = option(None, "which share this call searches, from 0", minimum=0)
    merge: bool = option(False, "decide from what the shards have found; the same as --shards without --shard_index")
