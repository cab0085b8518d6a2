"""The options of models, sampling and servers. Addresses, keys and time limits of a server may change between launches."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class ModelOptions:
    """model and engine"""

    model_name_or_path: str | None = option(
        None, "Hub id, directory or GGUF file of a causal language model", path="if_dotted", common=True
    )
    model_revision: str | None = option(None, "branch, tag or commit of the model [default: the main branch]")
    adapter: str | None = option(
        None,
        "PEFT adapter (LoRA) to merge into the model before it generates: a directory or Hub id [default: none]",
        path="if_dotted",
    )
    engine: str = option(
        "auto",
        "huggingface: this project's own engine; vllm: vLLM in this process; auto: vllm on a GPU if it is installed and "
        "has the model's architecture, else huggingface; openai: a server with OpenAI's API; scripted: completions from a file",
        choices=("auto", "huggingface", "vllm", "openai", "scripted"),
        common=True,
    )
    script_path: str | None = option(
        None, "JSONL file with one completion per line, for --engine scripted", path="always"
    )
    engine_backend: str = option(
        "auto",
        "slots: a finished request leaves its batch at once; paged: continuous batching of transformers, "
        "for flash attention; static: batches with generate; auto: the first of paged, slots, static that "
        "supports model and device",
        choices=("auto", "paged", "slots", "static"),
    )
    request_batch_size: int | None = option(
        None,
        "requests that one process generates together [default: the number that a pilot (--plan) of the run has found on this "
        "hardware, else as many as fit in memory, at most 256, or 16 on a CPU; vllm decides by itself]",
        minimum=1,
        common=True,
    )
    dtype: str = option(
        "auto",
        "data type of the weights; auto: as stored, on a CPU float32 unless it has AMX and they are stored in bfloat16, half "
        "precision with --quantization. "
        "Many models are stored in float32: use bfloat16 on a GPU",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    attn_implementation: str | None = option(
        None, "attention of transformers, such as sdpa or flash_attention_2 [default: chosen by transformers]"
    )
    quantization: str | None = option(
        None,
        "quantize the weights; huggingface: 4bit (nf4) or 8bit (int8), with bitsandbytes; vllm: a method of vLLM, such as "
        "fp8 [default: off]",
    )
    device_map: str | None = option(
        None,
        "auto: one process spreads the layers of a large model over all devices [default: off]",
        choices=("auto",),
    )
    tensor_parallel_size: int = option(
        1, "GPUs over which vllm splits each layer; processes times this must be the number of GPUs", minimum=1
    )
    pipeline_parallel_size: int = option(1, "GPUs, or groups of them, over which vllm spreads the layers", minimum=1)
    gpu_memory_utilization: float | None = option(
        None, "share of each GPU's memory that vllm takes [default: vLLM's own]", above=0, maximum=1
    )
    vllm_args: list[str] = option(
        [], "other engine arguments of vLLM as KEY=VALUE, such as kv_cache_dtype=fp8 max_num_batched_tokens=8192"
    )
    trust_remote_code: bool = option(
        False, "run Python code that comes with the model; use only with models that you trust"
    )


@dataclass(frozen=True)
class SamplingOptions:
    """sampling"""

    max_new_tokens: int = option(1024, "maximum number of tokens in a completion", minimum=1, fixed=True, common=True)
    max_length: int | None = option(
        None,
        "maximum number of tokens in prompt and completion together [default: the model's context]",
        minimum=2,
        fixed=True,
    )
    temperature: float = option(0.8, "sampling temperature; 0 is greedy decoding", minimum=0, fixed=True, common=True)
    top_p: float = option(
        0.95,
        "sample from the likeliest tokens whose probabilities add up to this; 1 is off",
        above=0,
        maximum=1,
        fixed=True,
    )
    top_k: int = option(0, "sample from the k likeliest tokens; 0 is off", minimum=0, fixed=True)
    min_p: float = option(
        0.0,
        "drop tokens whose probability is below this share of the likeliest token's; 0 is off",
        minimum=0,
        maximum=1,
        fixed=True,
    )
    repetition_penalty: float = option(
        1.0, "values above 1 discourage repetition, and harm code; 1 is off", above=0, fixed=True
    )
    answer_temperature: float | None = option(
        None, "temperature of the requests for answers [default: --temperature]", minimum=0, fixed=True
    )
    answer_max_new_tokens: int | None = option(
        None, "maximum number of tokens in an answer [default: --max_new_tokens]", minimum=1, fixed=True
    )
    stop_repetition: bool = option(
        True,
        "end a completion that has become a loop: it repeats a cycle of at most 64 tokens 5 times or more in a row, over at "
        "least 160 tokens (not on servers)",
        fixed=True,
    )
    presence_penalty: float = option(
        0.0,
        "values above 0 discourage tokens that have appeared; 0 is off; for vllm and openai",
        minimum=-2,
        maximum=2,
        fixed=True,
    )
    frequency_penalty: float = option(
        0.0,
        "values above 0 discourage tokens by the number of times they have appeared; 0 is off; for vllm and openai",
        minimum=-2,
        maximum=2,
        fixed=True,
    )
    num_return_sequences: int = option(
        1,
        "completions per prompt; more are cheaper, since each prompt is read once, but give fewer different prompts",
        minimum=1,
        fixed=True,
    )
    constrain: bool = option(
        False,
        "allow only tokens that keep to the form asked for: blocks or lists of new tasks, lists of topics, the options of a "
        "multiple-choice question, the scores of a judge; huggingface needs the package llguidance",
        fixed=True,
    )
    stop_words: list[str] | None = option(
        None,
        "texts that end a completion and are cut off; \\n means a line break [default: the number after "
        "the last task]",
        fixed=True,
    )


@dataclass(frozen=True)
class EndpointOptions:
    """server, with --engine openai"""

    api_base: list[str] = option(
        [], "addresses of servers that share the requests, such as http://localhost:8000/v1", common=True
    )
    api_model: str | None = option(
        None, "the server's name for the model; required with --engine openai", fixed=True, common=True
    )
    tokenizer_name_or_path: str | None = option(
        None,
        "folder or Hub id of the tokenizer of --api_model, to count tokens and, for --recipe magpie, to render the chat "
        "template [default: --model_name_or_path; for magpie also --api_model]",
        path="if_dotted",
    )
    api_key_env: str = option(
        "OPENAI_API_KEY", "environment variable that holds the API key; local servers usually need none"
    )
    api_endpoint: str = option(
        "auto",
        "completions: the model continues the prompt; chat: the prompt is a message; auto: chat if the "
        "server offers it for the model",
        choices=("auto", "completions", "chat"),
        fixed=True,
    )
    api_continuation: str = option(
        "words",
        "how a chat model starts its answer with the open block; words: the message asks for it; prefix: "
        "the server continues a partial answer (vLLM, SGLang, llama.cpp)",
        choices=("words", "prefix"),
        fixed=True,
    )
    api_context_length: int | None = option(
        None,
        "the model's context on the server, in tokens [default: from the tokenizer of "
        "--model_name_or_path; without one, prompts are not shortened]",
        minimum=2,
        fixed=True,
    )
    api_extra_body: str | None = option(
        None,
        "JSON object of additional fields for each request, such as '{\"repeat_penalty\": 1.1}'; they "
        "override the program's own [default: none]",
        fixed=True,
    )
    api_max_concurrency: int = option(
        256, "maximum number of concurrent requests per address; --horizon limits all addresses together", minimum=1
    )
    api_timeout_seconds: float = option(600.0, "seconds to wait for an answer", above=0)
    api_max_retries: int = option(5, "retries of a request after an unusable answer", minimum=0)
    api_wait_minutes: float = option(
        10.0, "minutes to wait for a server that is down or refuses every request", minimum=0, maximum=100_000
    )
    max_usage_tokens: int | None = option(
        None,
        "stop after this number of tokens as counted by the server, prompts and completions together, in "
        "the whole run [default: no limit]",
        minimum=1,
    )
    price_per_million_tokens: str | None = option(
        None,
        "price of a million tokens as IN,OUT (prompts, completions), or one price for both [default: no "
        "cost is counted]",
    )
    max_cost: float | None = option(None, "stop when the whole run has cost this much [default: no limit]", above=0)
