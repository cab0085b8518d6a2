"""How long a prompt is for a model that is elsewhere: by its tokenizer, where that is at hand, else by an estimate."""

from self_instruct.engines.base import TokenCounter

BYTES_PER_TOKEN = 3
TEMPLATE_TOKENS = 32


def estimate_tokens(text: str) -> int:
    """A token for every 3 bytes of UTF-8, rounded up: more than the usual tokenizers make of English text and of code, and
    about a token a sign where a sign is 3 bytes, so that what seems to fit does fit.
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


class EndpointReader:
    """Counts by `local`, a reader of the model's own tokenizer, or estimates, with some room for the template of a chat."""

    def __init__(self, context_length: int | None, local: TokenCounter | None) -> None:
        self._local = local
        self.context_length = context_length or (local.context_length if local else None)

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """The length of a prompt, in tokens."""
        if self._local is not None:
            return self._local.prompt_tokens(prompt, opening) + TEMPLATE_TOKENS
        return estimate_tokens(prompt + opening) + TEMPLATE_TOKENS
