"""The options of generating through an OpenAI-compatible server. Addresses, keys and patience are no part of the plan."""

from dataclasses import dataclass

from self_instruct.config.option import option


@dataclass(frozen=True)
class EndpointOptions:
    """server, with --engine openai"""

    api_base: list[str] = option([], "addresses of servers that share the requests, as http://localhost:8000/v1")
    api_model: str | None = option(None, "name by which the server knows the model", plan=True)
    api_key_env: str = option("OPENAI_API_KEY", "environment variable with the key; a server of one's own needs none")
    api_endpoint: str = option(
        "auto", "completions: the model goes on from the prompt; chat: it answers a message; auto: chat where the server "
        "offers it for the model", choices=("auto", "completions", "chat"), plan=True,
    )  # fmt: skip
    api_continuation: str = option(
        "words", "how a chat model is brought to begin with the open block; words: it is asked to; prefix: the server goes on "
        "from the beginning of the answer (vLLM, SGLang, llama.cpp)", choices=("words", "prefix"), plan=True,
    )  # fmt: skip
    api_context_length: int | None = option(
        None, "tokens of prompt and completion together that the server's model can hold [default: that of "
        "--model_name_or_path where its tokenizer is at hand, else prompts are not shortened]", minimum=2, plan=True,
    )  # fmt: skip
    api_extra_body: str | None = option(
        None,
        "JSON object of more fields for every request, as '{\"repeat_penalty\": 1.1}'; they win over ours",
        plan=True,
    )
    presence_penalty: float = option(
        0.0, "above 0 discourages tokens that were there", minimum=-2, maximum=2, plan=True
    )
    frequency_penalty: float = option(
        0.0, "above 0 discourages tokens by how often they were there", minimum=-2, maximum=2, plan=True
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
