"""The options of self-consistency and of the judge."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class ConsistencyOptions:
    """self-consistency (not part of a generation run)"""

    num_trials: int = option(3, "predictions of each record's instruction", minimum=1, common=True)
    self_consistency_threshold: float = option(
        0.5, "keep a record if its instruction and what is predicted from its output have at least this cosine similarity",
        minimum=-1, maximum=1, common=True,
    )  # fmt: skip
    self_consistency_rouge_threshold: float | None = option(
        None, "also keep only if their ROUGE-L F1 is at least this [default: off]", minimum=0, maximum=1, common=True
    )
    self_consistency_rule: str = option(
        "mean", "the score of a record: mean of its trials, which more trials make steadier; or best, which more trials raise",
        choices=("mean", "best"), common=True,
    )  # fmt: skip
    no_embeddings: bool = option(
        False,
        "compare by ROUGE-L alone; no embedding model is loaded, --self_consistency_rouge_threshold decides",
        common=True,
    )


@dataclass(frozen=True)
class JudgeOptions:
    """judge (not part of a generation run)"""

    judge_threshold: float = option(
        3.0, "keep a record that is judged good if the mean of its scores, which go from 1 to 5, is at least this",
        minimum=1, maximum=5, common=True,
    )  # fmt: skip
