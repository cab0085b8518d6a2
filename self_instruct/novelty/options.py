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
        "below", "what the threshold allows; not_above keeps a record at the threshold too, as the first self-instruct did",
        choices=("below", "not_above"), fixed=True,
    )  # fmt: skip
    rouge_tokenizer: str = option(
        "rouge", "words that ROUGE-L compares; rouge: a-z and 0-9 only, as rouge_score; unicode: of any script, also where "
        "filters count words and look at how a text begins, for text that is not in English",
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
        "kept", "what meanings are compared with; kept: seeds and accepted records; all: also the candidates dropped for their "
        "meaning, which keeps fewer", choices=("kept", "all"), fixed=True,
    )  # fmt: skip
