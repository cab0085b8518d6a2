"""The options of self-consistency, the judge, verify and score, and the options of a run that they also accept."""

from dataclasses import dataclass

from self_instruct.config.option import declarations, option
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.generation import testing
from self_instruct.generation.config import GROUPS, CategoryOptions, PromptOptions, ReportingOptions, RunOptions
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import RunFilterOptions, VerifyOptions


@dataclass(frozen=True)
class ConsistencyOptions:
    """self-consistency"""

    num_trials: int = option(3, "predictions of each record's instruction", minimum=1, common=True)
    self_consistency_threshold: float = option(
        0.5,
        "keep a record if the cosine similarity of its instruction and the predictions is at least this",
        minimum=-1,
        maximum=1,
        common=True,
    )
    self_consistency_rouge_threshold: float | None = option(
        None, "also require that their ROUGE-L F1 is at least this [default: off]", minimum=0, maximum=1, common=True
    )
    self_consistency_rule: str = option(
        "mean",
        "score of a record: mean of its trials; or best, the highest, which rises with the number of trials",
        choices=("mean", "best"),
        common=True,
    )
    no_embeddings: bool = option(
        False,
        "compare by ROUGE-L only, with --self_consistency_rouge_threshold; loads no embedding model",
        common=True,
    )


@dataclass(frozen=True)
class JudgeOptions:
    """judge"""

    judge_threshold: float = option(
        3.0,
        "keep a record that is judged good if the mean of its scores (1 to 5) is at least this",
        minimum=1,
        maximum=5,
        common=True,
    )
    all_answers: bool = option(
        False,
        "also judge the other answers that a run with --num_answers has stored, for `self-instruct best-of-n --judged`",
        common=True,
    )


@dataclass(frozen=True)
class BestOfNOptions:
    """best of n"""

    reward_model: str | None = option(
        None,
        "Hub id or directory of a sequence classification model with one label, which scores the answers",
        path="if_dotted",
        common=True,
    )
    reward_batch_size: int = option(8, "answers that the reward model scores together", minimum=1, common=True)
    run_tests: bool = option(
        False,
        "score answers with Python code by the tests that `self-instruct verify` stored for their records",
        common=True,
    )
    judged: bool = option(
        False, "score answers by the judgements that `self-instruct judge --all_answers` stored", common=True
    )


@dataclass(frozen=True)
class ScoreOptions:
    """scores"""

    scores: list[str] = option(
        ["ifd", "likelihood"], "scores to write as columns", choices=("ifd", "likelihood"), common=True
    )


@dataclass(frozen=True)
class TuneOptions:
    """tune"""

    tokens_per_variant: int = option(4000, "new tokens that each variant may generate", minimum=1, common=True)
    judge_model: str | None = option(
        None,
        "model that judges the records of each variant, as `self-instruct judge` does",
        path="if_dotted",
        common=True,
    )


_FOR_RUNS = ("stop_words", "num_return_sequences", "report_to")
_JUDGE_GENERATION = tuple(
    name
    for group in GROUPS
    if group not in (RunOptions, PromptOptions, RunFilterOptions, VerifyOptions, NoveltyOptions, CategoryOptions)
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

VERIFY_NAMES = (
    *(name for name in JUDGE_NAMES if name not in (*JudgeOptions.__dataclass_fields__, "constrain")),
    *VerifyOptions.__dataclass_fields__,
)

BEST_OF_N_NAMES = ("batch_dir", *BestOfNOptions.__dataclass_fields__, "test_seconds", "sandbox", "log_level")

SCORE_DECIDING = ("chat_template", "chat_template_kwargs", "max_length", "dtype", "quantization")
SCORE_NAMES = (
    "batch_dir", "input_path", "output_path", "scores", "model_name_or_path", "model_revision", "adapter",
    "attn_implementation", "device_map", "trust_remote_code", "log_level", "heartbeat_seconds", *SCORE_DECIDING,
)  # fmt: skip

FOR_LISTS = ("prompt_path", "stop_words", "num_return_sequences", "constrain")
# The options that change a prediction, besides model, header, seeds and record.
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
"""Defaults of the judge that differ from those of generation."""
VERIFY_SAMPLING = {"temperature": 0.0, "max_new_tokens": testing.MAX_NEW_TOKENS}
"""Defaults of verify that differ from those of generation."""

NOT_OF_THE_RUN = (*FOR_LISTS, *BUDGETS, "trust_remote_code")
"""Options whose values are not taken from run.yaml: a file must not switch on remote code, and the run's budgets are spent."""

_NOT_TUNED = (
    "append", "overwrite", "yes", "num_instructions_to_generate", "min_yield", "stop_diversity", "patience", "max_requests",
    "max_tokens", "max_hours", "plan", "plan_seconds", "gpu_hour_price", "dry_run", "report_to",
    "num_answers",
)  # fmt: skip
TUNE_NAMES = (
    "record_format", *TuneOptions.__dataclass_fields__,
    *(
        name
        for group in GROUPS
        if group not in (CategoryOptions, VerifyOptions)
        for name in declarations((group,))
        if name not in _NOT_TUNED
    ),
)  # fmt: skip
