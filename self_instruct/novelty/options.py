"""The options of novelty."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class NoveltyOptions:
    """novelty"""

    rouge_threshold: float = option(
        0.7, "keep a record if its ROUGE-L F1 with every seed and every accepted record is below this",
        above=0, maximum=1.01, fixed=True, alias="threshold", common=True,
    )  # fmt: skip
    rouge_rule: str = option(
        "below", "below: keep scores below the threshold; not_above: also keep scores equal to it, as in the original "
        "self-instruct",
        choices=("below", "not_above"), fixed=True,
    )  # fmt: skip
    rouge_tokenizer: str = option(
        "rouge", "words that ROUGE-L compares; rouge: runs of a-z and 0-9, as in rouge_score; unicode: words of any script, "
        "for text that is not in English; also used by filters that count words or check how a text begins",
        choices=("rouge", "unicode"), fixed=True,
    )  # fmt: skip
    embedding_threshold: float | None = option(
        None,
        "also keep only if the cosine similarity is below this [default: off]",
        above=-1,
        maximum=1.01,
        fixed=True,
        common=True,
    )
    embedding_model_name_or_path: str = option(
        "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers model", path="if_dotted", fixed=True
    )
    embedding_reference: str = option(
        "kept", "texts whose embeddings are compared; kept: seeds and accepted records; all: also candidates dropped by "
        "--embedding_threshold, which keeps fewer", choices=("kept", "all"), fixed=True,
    )  # fmt: skip
