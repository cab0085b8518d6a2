"""Count the tokens of prompts for a server's model, with its tokenizer if available, or else by an estimate."""

from self_instruct.engines.base import TokenCounter

BYTES_PER_TOKEN = 3
TEMPLATE_TOKENS = 32


def estimate_tokens(text: str) -> int:
    """Return one token per 3 bytes of UTF-8, rounded up.

    Common tokenizers need fewer for English text and code, and about one per character where a character has 3 bytes, so a
    prompt that fits by this estimate also fits the model.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


class EndpointReader:
    """Count with `local`, the model's own tokenizer, or estimate; `TEMPLATE_TOKENS` are added for the chat template."""

    def __init__(self, context_length: int | None, local: TokenCounter | None) -> None:
        self._local = local
        self.context_length = context_length or (local.context_length if local else None)

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of tokens in a prompt, chat template included."""
        if self._local is not None:
            return self._local.prompt_tokens(prompt, opening, system, raw) + TEMPLATE_TOKENS
        return estimate_tokens((system or "") + prompt + opening) + TEMPLATE_TOKENS
