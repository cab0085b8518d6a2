"""The options of generating: the run, its prompts, the model, sampling."""

from dataclasses import dataclass

from self_instruct.config.option import option
from self_instruct.presets import PRESETS


@dataclass(frozen=True)
class RunOptions:
    """run"""

    preset: str | None = option(
        None, "begin from the rules of an earlier system, where no option says otherwise: "
        + "; ".join(f"{name}, {preset.summary}" for name, preset in PRESETS.items()), choices=tuple(PRESETS),
    )  # fmt: skip
    batch_dir: str | None = option(None, "directory of the run; an earlier run in it is continued", path="always")
    append: bool = option(
        False, "go on with the run that is in --batch_dir, as is done in any case unless --overwrite is given"
    )
    overwrite: bool = option(
        False,
        "begin anew; what --batch_dir holds is kept beside it under another name, after a question on a terminal",
    )
    yes: bool = option(False, "answer the question of --overwrite with yes; needed where there is no terminal")
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
    engine: str = option(
        "huggingface", "what generates: a model on this machine, an OpenAI-compatible server, or a file of completions",
        choices=("huggingface", "openai", "scripted"),
    )  # fmt: skip
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
    dtype: str = option(
        "auto", "type of the weights; auto: as they are stored, on a CPU float32, with --quantization half precision. Many "
        "models are stored in float32: give bfloat16 on a GPU", choices=("auto", "float32", "float16", "bfloat16"),
    )  # fmt: skip
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
