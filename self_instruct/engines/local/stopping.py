"""Find stop texts in generated text, token by token.

Decoding the tail at every token would take longer than a small model's forward pass, so it is decoded only if the
newest token could end a stop text.
"""

from collections.abc import Collection, Sequence
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import cut_at_stop


class TurnDecoder:
    """Decodes generated tokens without special tokens, apart from those that mark a thought."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        special = {number: str(item) for number, item in tokenizer.added_tokens_decoder.items() if item.special}
        self._marks = thought_tags().parts_of_marks(special)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        parts, begin = list[str](), 0
        for at, token in enumerate(tokens) if self._marks else ():
            if token in self._marks:
                parts += [self._plain(tokens[begin:at]), self._marks[token]]
                begin = at + 1
        return "".join([*parts, self._plain(tokens[begin:])])

    def completion(
        self, tokens: Sequence[int], ends: Collection[int], stop: Sequence[str], thought: str
    ) -> tuple[str, int | None]:
        """Return the text of a completion up to its end token or first stop text, and the number of its tokens that are a
        thought (None if it has none). `thought` is the unfinished thought at the end of the prompt, or empty.
        """
        text = self.decode(tokens[:-1] if tokens and tokens[-1] in ends else tokens)
        text, _ = cut_at_stop(thought + text if text else "", stop)
        found = thought_tags().split(text).thought
        if not found:
            return text, None
        return text, min(len(tokens), len(self._tokenizer(found, add_special_tokens=False)["input_ids"]))

    def _plain(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)


class StopMatcher:
    """Detects stop texts in generated tokens, one token at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._decoder = tokenizer, TurnDecoder(tokenizer)
        self._last_characters: list[frozenset[str]] = []
        self._tokens_of: dict[frozenset[str], frozenset[int]] = {}
        self._special = {str(item): number for number, item in tokenizer.added_tokens_decoder.items() if item.special}

    def reached(self, tokens: Sequence[int], stop: Sequence[str], thought: str = "") -> bool:
        """Return whether the newest token completes a stop text, or is a special token (omitted by decoding) that is one.

        `thought` is the unfinished thought at the end of the prompt, or empty. Stop texts inside a thought are ignored.
        """
        if any(self._special.get(word) == tokens[-1] for word in stop):
            return True
        if not stop or tokens[-1] not in self._ending(frozenset(word[-1] for word in stop)):
            return False
        # A byte-fallback vocabulary needs up to four tokens per character.
        window = 4 * max(len(word) for word in stop) + 4
        tail = self._tokenizer.decode(
            list(tokens[-window:]), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return any(word in tail for word in stop) and cut_at_stop(thought + self._decoder.decode(tokens), stop)[1]

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
