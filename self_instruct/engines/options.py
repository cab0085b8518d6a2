"""The options of models, sampling and servers. Addresses, keys and time limits of a server do not change the plan."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class ModelOptions:
    """model and engine"""

    model_name_or_path: str | None = option(
        None, "Hub id, folder or GGUF file of a causal language model", path="if_dotted", common=True
    )
    model_revision: str | None = option(None, "branch, tag or commit of the model")
    engine: str = option(
        "huggingface", "what generates: a model on this machine, an OpenAI-compatible server, or a file of completions",
        choices=("huggingface", "openai", "scripted"), common=True,
    )  # fmt: skip
    script_path: str | None = option(None, "JSONL file with a text per line, for --engine scripted", path="always")
    engine_backend: str = option(
        "auto", "slots: a request leaves its batch the moment it ends; paged: the same by transformers, for flash attention; "
        "static: batches by generate; auto: the first of paged, slots and static that suits model and device",
        choices=("auto", "paged", "slots", "static"),
    )  # fmt: skip
    request_batch_size: int | None = option(
        None, "requests that a process generates together [default: as many as memory has room for, at most 64, or 16 on a "
        "CPU]", minimum=1, common=True,
    )  # fmt: skip
    dtype: str = option(
        "auto", "type of the weights; auto: as they are stored, on a CPU float32, with --quantization half precision. Many "
        "models are stored in float32: give bfloat16 on a GPU", choices=("auto", "float32", "float16", "bfloat16"), common=True,
    )  # fmt: skip
    attn_implementation: str | None = option(None, "as in transformers, e.g. sdpa or flash_attention_2")
    quantization: str | None = option(
        None, "bits of a weight in memory, by bitsandbytes: nf4 or int8", choices=("4bit", "8bit"), common=True
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

    max_new_tokens: int = option(1024, "tokens that a completion may have", minimum=1, fixed=True, common=True)
    max_length: int | None = option(
        None, "tokens of prompt and completion together [default: the model's context]", minimum=2, fixed=True
    )
    temperature: float = option(0.8, "0 is greedy", minimum=0, fixed=True, common=True)
    top_p: float = option(0.95, "nucleus sampling", above=0, maximum=1, fixed=True, common=True)
    top_k: int = option(0, "sample from the k likeliest tokens; 0 is off", minimum=0, fixed=True)
    min_p: float = option(
        0.0, "drop tokens less likely than this share of the likeliest one; 0 is off", minimum=0, maximum=1, fixed=True
    )
    repetition_penalty: float = option(1.0, "above 1 discourages repeating; hurts code", above=0, fixed=True)
    num_return_sequences: int = option(
        1,
        "completions of each prompt, which is read once; fewer different prompts, but cheaper",
        minimum=1,
        fixed=True,
    )
    stop_words: list[str] | None = option(
        None, "texts that end a completion and are cut off; \\n means a line break [default: the number after the last task]",
        fixed=True,
    )  # fmt: skip


@dataclass(frozen=True)
class EndpointOptions:
    """server, with --engine openai"""

    api_base: list[str] = option(
        [], "addresses of servers that share the requests, as http://localhost:8000/v1", common=True
    )
    api_model: str | None = option(None, "name by which the server knows the model", fixed=True, common=True)
    api_key_env: str = option("OPENAI_API_KEY", "environment variable with the key; a server of one's own needs none")
    api_endpoint: str = option(
        "auto", "completions: the model goes on from the prompt; chat: it answers a message; auto: chat where the server "
        "offers it for the model", choices=("auto", "completions", "chat"), fixed=True,
    )  # fmt: skip
    api_continuation: str = option(
        "words", "how a chat model is brought to begin with the open block; words: it is asked to; prefix: the server goes on "
        "from the beginning of the answer (vLLM, SGLang, llama.cpp)", choices=("words", "prefix"), fixed=True,
    )  # fmt: skip
    api_context_length: int | None = option(
        None, "tokens of prompt and completion together that the server's model can hold [default: that of "
        "--model_name_or_path where its tokenizer is at hand, else prompts are not shortened]", minimum=2, fixed=True,
    )  # fmt: skip
    api_extra_body: str | None = option(
        None,
        "JSON object of more fields for every request, as '{\"repeat_penalty\": 1.1}'; they win over ours",
        fixed=True,
    )
    presence_penalty: float = option(
        0.0, "above 0 discourages tokens that were there", minimum=-2, maximum=2, fixed=True
    )
    frequency_penalty: float = option(
        0.0, "above 0 discourages tokens by how often they were there", minimum=-2, maximum=2, fixed=True
    )
    api_max_concurrency: int = option(
        256, "requests under way at each address, at most; --horizon bounds them all together", minimum=1
    )
    api_timeout_seconds: float = option(600.0, "how long an answer may take", above=0)
    api_max_retries: int = option(5, "how often a request is asked again after an answer that is of no use", minimum=0)
    api_wait_minutes: float = option(10.0, "how long a server that is down or refuses all is waited for", minimum=0)
    max_usage_tokens: int | None = option(
        None, "stop when the server has counted this many tokens in the run, prompts and completions", minimum=1
    )
    price_per_million_tokens: str | None = option(
        None, "IN or IN,OUT: price of a million tokens of prompts, and of completions where it differs"
    )
    max_cost: float | None = option(None, "stop when the run has cost this much", above=0)
