"""The options of self-consistency and the judge, and the generation options that they also accept."""

from dataclasses import dataclass

from self_instruct.config.option import declarations, option
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.generation.config import GROUPS, CategoryOptions, PromptOptions, ReportingOptions, RunOptions
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions


@dataclass(frozen=True)
class ConsistencyOptions:
    """self-consistency (not part of a generation run)"""

    num_trials: int = option(3, "predictions of each record's instruction", minimum=1, common=True)
    self_consistency_threshold: float = option(
        0.5, "keep a record if the cosine similarity of its instruction and the one predicted from its output is at least this",
        minimum=-1, maximum=1, common=True,
    )  # fmt: skip
    self_consistency_rouge_threshold: float | None = option(
        None, "also require this ROUGE-L F1 [default: off]", minimum=0, maximum=1, common=True
    )
    self_consistency_rule: str = option(
        "mean", "score of a record over its trials; mean: steadier with more trials; best: higher with more trials",
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
        3.0, "keep a record judged good if its mean score (1 to 5) is at least this",
        minimum=1, maximum=5, common=True,
    )  # fmt: skip


_FOR_RUNS = ("stop_words", "num_return_sequences", "report_to")
_JUDGE_GENERATION = tuple(
    name
    for group in GROUPS
    if group not in (RunOptions, PromptOptions, FilterOptions, NoveltyOptions, CategoryOptions)
    for name in declarations((group,))
    if name not in _FOR_RUNS
)
JUDGE_DECIDING = (
    "seed",
    "chat_template",
    *(name for name in _JUDGE_GENERATION if declarations(GROUPS)[name].metadata["fixed"]),
)
JUDGE_NAMES = (
    "batch_dir", "input_path", "output_path", "prompt_path", "seed", "chat_template", *JudgeOptions.__dataclass_fields__,
    *_JUDGE_GENERATION,
)  # fmt: skip

FOR_LISTS = ("prompt_path", "stop_words", "num_return_sequences")
# Options that change a prediction, besides model, header, seeds and record.
CONSISTENCY_DECIDING = (
    "seed", "num_prompt_instructions", "chat_template", "api_extra_body", "presence_penalty", "frequency_penalty",
    *(name for name in SamplingOptions.__dataclass_fields__ if name not in FOR_LISTS),
)  # fmt: skip
BUDGETS = ("max_usage_tokens", "max_cost")
_REPORTING = tuple(name for name in ReportingOptions.__dataclass_fields__ if name != "report_to")
CONSISTENCY_OWN = tuple(ConsistencyOptions.__dataclass_fields__)
CONSISTENCY_NAMES = (
    "batch_dir", "seed_tasks_path", "prompt_path", "embedding_model_name_or_path", *CONSISTENCY_DECIDING,
    *ModelOptions.__dataclass_fields__, *EndpointOptions.__dataclass_fields__, *_REPORTING, *CONSISTENCY_OWN,
)  # fmt: skip

JUDGE_SAMPLING = {"temperature": 0.0, "max_new_tokens": 128}
"""The default sampling options of a judge."""

NOT_OF_THE_RUN = (*FOR_LISTS, *BUDGETS, "trust_remote_code")
"""Options that are not taken from the run: only the user may allow a model's code to run, and the run's budgets are used up."""
