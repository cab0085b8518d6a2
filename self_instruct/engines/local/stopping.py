"""Find stop texts in generated text, token by token.

Decoding the tail at every token would take longer than a small model's forward pass, so it is decoded only if the
newest token could end a stop text.
"""

from collections.abc import Sequence
from typing import Any


class StopMatcher:
    """Detects stop texts in generated tokens, one token at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._last_characters: list[frozenset[str]] = []
        self._tokens_of: dict[frozenset[str], frozenset[int]] = {}

    def reached(self, tokens: Sequence[int], stop: Sequence[str]) -> bool:
        """Return whether the newest token completed one of the stop texts."""
        if not stop or tokens[-1] not in self._ending(frozenset(word[-1] for word in stop)):
            return False
        # A byte-fallback vocabulary needs up to four tokens per character.
        window = 4 * max(len(word) for word in stop) + 4
        tail = self._tokenizer.decode(
            list(tokens[-window:]), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return any(word in tail for word in stop)

    def _ending(self, characters: frozenset[str]) -> frozenset[int]:
        """Return the ids of the tokens that contain one of the characters or an incomplete character."""
        if characters not in self._tokens_of:
            if not self._last_characters:
                ids = [[token] for token in range(len(self._tokenizer))]
                texts = self._tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)
                self._last_characters = [frozenset(text) for text in texts]
            wanted = characters | {"\ufffd"}
            self._tokens_of[characters] = frozenset(
                token for token, held in enumerate(self._last_characters) if held & wanted
            )
        return self._tokens_of[characters]
