"""Every option of a generation run, declared once: type, default, help, bounds, and whether it is part of the plan.

A *plan* option decides what is generated or kept, so a run cannot go on with another value of it; all others may change
between two launches of the same run. Model, seed file and header are compared by content, not by name.
Knows nothing of argv, YAML or files: arguments.py fills these classes.
"""

from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from self_instruct.filters import DEFAULT_RULES, RULES
from self_instruct.filters.openings import PROGRAMMING
from self_instruct.presets import PRESETS

PathRule = Literal["always", "if_dotted"]


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    plan: bool = False,
    path: PathRule | None = None,
    alias: str | None = None,
) -> Any:
    """One option. `minimum` is inclusive, `above` exclusive; `path` says when the value names a place on disk."""
    metadata = {
        "help": help, "choices": choices, "minimum": minimum, "above": above, "maximum": maximum,
        "plan": plan, "path": path, "alias": alias,
    }  # fmt: skip
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class RunOptions:
    """run"""

    preset: str | None = option(
        None, "begin from the rules of an earlier system, where no option says otherwise: "
        + "; ".join(f"{name}, {preset.summary}" for name, preset in PRESETS.items()), choices=tuple(PRESETS),
    )  # fmt: skip
    batch_dir: str | None = option(None, "directory of the run; an earlier run in it is continued", path="always")
    num_instructions_to_generate: int = option(100, "stop at exactly this many accepted records", minimum=1)
    seed: int = option(42, "decides demonstrations and sampling", plan=True)
    seed_tasks_path: str | None = option(None, "JSONL file of seed tasks", path="always")
    min_yield: float = option(
        0.01, "stop when accepted per parsed block falls below this over the last --patience requests",
        minimum=0, maximum=1,
    )  # fmt: skip
    patience: int = option(100, "requests over which --min_yield is measured", minimum=1)
    max_requests: int | None = option(None, "stop after this many requests", minimum=1)
    max_tokens: int | None = option(None, "stop when the model has written this many tokens in the run", minimum=1)
    max_hours: float | None = option(None, "stop after generating for so long in this launch", above=0)
    plan: bool = option(
        False, "generate for --plan_seconds, then forecast hours, GPU-hours and cost of the whole run; with --batch_dir the "
        "pilot is the run's beginning",
    )  # fmt: skip
    plan_seconds: float = option(60.0, "how long the pilot of --plan generates", above=0)
    gpu_hour_price: float | None = option(None, "price of an hour of a GPU, for --plan", above=0)
    dry_run: bool = option(
        False, "check options and seeds, show the first prompt and stop; no model is loaded, a word counts as a token"
    )


@dataclass(frozen=True)
class PromptOptions:
    """prompt"""

    prompt_path: str | None = option(
        None, "what the model reads first [default: the file beside the script]", path="always"
    )
    num_prompt_instructions: int = option(
        8, "demonstrations in a prompt, human and machine together", minimum=1, plan=True
    )
    num_prompt_synthetic_instructions: int = option(
        2, "of these, at most so many that the model wrote itself", minimum=0, plan=True
    )
    max_demonstration_depth: int = option(
        3, "generations after which a machine-written task is no longer shown as a demonstration", minimum=1, plan=True
    )
    max_tasks_per_request: int = option(
        16, "stop a completion when it begins its next task after so many", minimum=1, plan=True
    )
    instruction_trigger: str | None = option(None, "trigger word of the instruction [default: Instruction]", plan=True)
    input_trigger: str | None = option(None, "trigger word of the input [default: Input]", plan=True)
    output_trigger: str | None = option(None, "trigger word of the output [default: Output]", plan=True)
    chat_template: str = option(
        "auto", "send prompts through the tokenizer's chat template; auto: when there is one",
        choices=("auto", "always", "never"), plan=True,
    )  # fmt: skip
    horizon: int | None = option(
        None, "request i is composed from what requests up to i - horizon gave [default: a fiftieth of "
        "--num_instructions_to_generate, 16 to 1024]", minimum=1, plan=True,
    )  # fmt: skip


@dataclass(frozen=True)
class ModelOptions:
    """model and engine"""

    model_name_or_path: str | None = option(None, "Hub id or folder of a causal language model", path="if_dotted")
    model_revision: str | None = option(None, "branch, tag or commit of the model")
    engine: str = option("huggingface", "what generates: a model in this process, or a file of completions",
                         choices=("huggingface", "scripted"))  # fmt: skip
    script_path: str | None = option(None, "JSONL file with a text per line, for --engine scripted", path="always")
    engine_backend: str = option(
        "auto", "slots: a request leaves its batch the moment it ends; paged: the same by transformers, for flash attention; "
        "static: batches by generate; auto: the first of paged, slots and static that suits model and device",
        choices=("auto", "paged", "slots", "static"),
    )  # fmt: skip
    request_batch_size: int | None = option(
        None, "requests that a process generates together [default: as many as memory has room for, at most 64, or 16 on a "
        "CPU]", minimum=1,
    )  # fmt: skip
    dtype: str = option("auto", "of the weights", choices=("auto", "float32", "float16", "bfloat16"))
    attn_implementation: str | None = option(None, "as in transformers, e.g. sdpa or flash_attention_2")
    quantization: str | None = option(
        None, "bits of a weight in memory, by bitsandbytes: nf4 or int8", choices=("4bit", "8bit")
    )
    device_map: str | None = option(
        None, "auto: one process puts the layers of a large model on all its devices", choices=("auto",)
    )
    tensor_parallel_size: int = option(
        1, "processes that together hold one model, a part of every layer each", minimum=1
    )
    trust_remote_code: bool = option(False, "run Python code that comes with the model; only for sources you trust")


@dataclass(frozen=True)
class SamplingOptions:
    """sampling"""

    max_new_tokens: int = option(1024, "tokens that a completion may have", minimum=1, plan=True)
    max_length: int | None = option(
        None, "tokens of prompt and completion together [default: the model's context]", minimum=2, plan=True
    )
    temperature: float = option(0.8, "0 is greedy", minimum=0, plan=True)
    top_p: float = option(0.95, "nucleus sampling", above=0, maximum=1, plan=True)
    top_k: int = option(0, "sample from the k likeliest tokens; 0 is off", minimum=0, plan=True)
    min_p: float = option(
        0.0, "drop tokens less likely than this share of the likeliest one; 0 is off", minimum=0, maximum=1, plan=True
    )
    repetition_penalty: float = option(1.0, "above 1 discourages repeating; hurts code", above=0, plan=True)
    num_return_sequences: int = option(
        1, "completions of each prompt, which is read once; fewer different prompts, but cheaper", minimum=1, plan=True
    )
    stop_words: list[str] | None = option(
        None, "texts that end a completion and are cut off; \\n means a line break [default: the number after the last task]",
        plan=True,
    )  # fmt: skip


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
        "rouge", "words that ROUGE-L compares; rouge: a-z and 0-9 only, as rouge_score; unicode: of any script, for text that "
        "is not in English", choices=("rouge", "unicode"), plan=True,
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
class CurationOptions:
    """what is curated (not part of a generation run)"""

    input_path: list[str] = option([], "JSONL files, in order; - reads from a pipe", path="always")
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


@dataclass(frozen=True)
class Config:
    """All options of a run, by concern."""

    run: RunOptions
    prompt: PromptOptions
    model: ModelOptions
    sampling: SamplingOptions
    filter: FilterOptions
    novelty: NoveltyOptions


GROUPS: tuple[type, ...] = (RunOptions, PromptOptions, ModelOptions, SamplingOptions, FilterOptions, NoveltyOptions)


def declarations(groups: tuple[type, ...] = GROUPS) -> dict[str, Field]:
    """Every option's declaration by name, in the order of --help."""
    return {declared.name: declared for group in groups for declared in fields(group)}


def flatten(config: Config) -> dict[str, Any]:
    """All values by option name."""
    return {name: getattr(group, name) for part in fields(config)
            for group in [getattr(config, part.name)] for name in (f.name for f in fields(group))}  # fmt: skip


def assemble(values: dict[str, Any]) -> Config:
    """A configuration from values by option name; what is absent takes its default."""
    parts = [group(**{f.name: values[f.name] for f in fields(group) if f.name in values}) for group in GROUPS]
    return Config(*parts)
