"""The options of models, sampling and servers. A server's addresses, keys and time limits can change during a run."""

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
        "huggingface", "a model on this machine, an OpenAI-compatible server, or a file of completions",
        choices=("huggingface", "openai", "scripted"), common=True,
    )  # fmt: skip
    script_path: str | None = option(
        None, "JSONL file with one completion per line, for --engine scripted", path="always"
    )
    engine_backend: str = option(
        "auto", "slots: continuous batching; paged: continuous batching by transformers, for flash attention; static: batches "
        "by generate; auto: the first of paged, slots and static that works with the model and the device",
        choices=("auto", "paged", "slots", "static"),
    )  # fmt: skip
    request_batch_size: int | None = option(
        None, "requests in a batch, per process [default: as many as fit into memory, at most 64, or 16 on a CPU]",
        minimum=1, common=True,
    )  # fmt: skip
    dtype: str = option(
        "auto", "type of the weights; auto: as stored, but float32 on a CPU and half precision with --quantization. Many "
        "models are stored in float32: use bfloat16 on a GPU", choices=("auto", "float32", "float16", "bfloat16"), common=True,
    )  # fmt: skip
    attn_implementation: str | None = option(None, "attention of transformers, for example sdpa or flash_attention_2")
    quantization: str | None = option(
        None, "bits per weight in memory, by bitsandbytes (nf4 or int8)", choices=("4bit", "8bit"), common=True
    )
    device_map: str | None = option(
        None, "auto: one process spreads the layers of a large model over all its devices", choices=("auto",)
    )
    tensor_parallel_size: int = option(1, "processes that share one model, each with a part of every layer", minimum=1)
    trust_remote_code: bool = option(False, "run Python code that comes with the model; only for sources you trust")


@dataclass(frozen=True)
class SamplingOptions:
    """sampling"""

    max_new_tokens: int = option(1024, "most tokens of a completion", minimum=1, fixed=True, common=True)
    max_length: int | None = option(
        None, "most tokens of prompt and completion together [default: the model's context]", minimum=2, fixed=True
    )
    temperature: float = option(0.8, "0 is greedy", minimum=0, fixed=True, common=True)
    top_p: float = option(0.95, "nucleus sampling", above=0, maximum=1, fixed=True, common=True)
    top_k: int = option(0, "sample from the k likeliest tokens; 0 is off", minimum=0, fixed=True)
    min_p: float = option(
        0.0,
        "drop tokens less likely than this fraction of the likeliest one; 0 is off",
        minimum=0,
        maximum=1,
        fixed=True,
    )
    repetition_penalty: float = option(1.0, "above 1 discourages repetition; hurts code", above=0, fixed=True)
    num_return_sequences: int = option(
        1,
        "completions per prompt, which is read only once: cheaper, but fewer different prompts",
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
        [], "addresses of servers that share the requests, for example http://localhost:8000/v1", common=True
    )
    api_model: str | None = option(None, "name of the model on the server", fixed=True, common=True)
    api_key_env: str = option("OPENAI_API_KEY", "environment variable with the API key; local servers need none")
    api_endpoint: str = option(
        "auto", "completions: the model continues the prompt; chat: it answers a message; auto: chat if the server offers it "
        "for the model", choices=("auto", "completions", "chat"), fixed=True,
    )  # fmt: skip
    api_continuation: str = option(
        "words", "how a chat model is made to begin with the open block; words: the message asks for it; prefix: the server "
        "continues the beginning of the answer (vLLM, SGLang, llama.cpp)", choices=("words", "prefix"), fixed=True,
    )  # fmt: skip
    api_context_length: int | None = option(
        None, "context of the server's model in tokens [default: that of --model_name_or_path if its tokenizer is available, "
        "or else prompts are not shortened]", minimum=2, fixed=True,
    )  # fmt: skip
    api_extra_body: str | None = option(
        None,
        "JSON object with fields for every request, for example '{\"repeat_penalty\": 1.1}'; they override all others",
        fixed=True,
    )
    presence_penalty: float = option(
        0.0, "above 0 discourages tokens that have appeared", minimum=-2, maximum=2, fixed=True
    )
    frequency_penalty: float = option(
        0.0,
        "above 0 discourages tokens in proportion to how often they have appeared",
        minimum=-2,
        maximum=2,
        fixed=True,
    )
    api_max_concurrency: int = option(
        256, "most concurrent requests per address; --horizon limits their total", minimum=1
    )
    api_timeout_seconds: float = option(600.0, "most seconds for an answer", above=0)
    api_max_retries: int = option(5, "retries of a request after an unusable answer", minimum=0)
    api_wait_minutes: float = option(
        10.0, "how long to wait for a server that is down or refuses everything", minimum=0
    )
    max_usage_tokens: int | None = option(
        None, "stop when the server has counted this many tokens in the run, prompts and completions", minimum=1
    )
    price_per_million_tokens: str | None = option(
        None, "IN or IN,OUT: price of a million prompt tokens, and of completion tokens if it differs"
    )
    max_cost: float | None = option(None, "stop when the run has cost this much", above=0)
