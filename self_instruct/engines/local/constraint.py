"""Enforce the pattern of a request: before each token is drawn, forbid the tokens with which the text could not match.

The package llguidance says which tokens are allowed. A matcher's state depends only on the request's own tokens, so masked rows
are drawn like all others: a request's text does not depend on its batch, and a resumed or repeated run draws the same tokens.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.sampling import draw_rows, upload
from self_instruct.errors import UserError, install


class Matcher:
    """Follows the tokens of one request through its pattern. `vocabulary` is the number of tokens of the tokenizer."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher, self._bits = matcher, np.zeros((1, -(-vocabulary // 32)), dtype=np.int32)

    def allowed(self, size: int) -> np.ndarray:
        """Return a mask [size] of the tokens that may come next, including end tokens once the text matches the pattern."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits)
        found = np.unpackbits(self._bits[0].view(np.uint8), count=size, bitorder="little")
        return found.astype(bool)

    def accept(self, token: int) -> bool:
        """Note a token. Return whether nothing can follow it: the text matches the whole pattern."""
        self._matcher.consume_token(token)
        return self._matcher.is_stopped()

    @property
    def error(self) -> str | None:
        """Why the pattern cannot be followed any further, or None."""
        return _reason(self._matcher)

    def restart(self) -> None:
        """Forget all tokens."""
        self._matcher.reset()


class Patterns:
    """Compiles patterns for a tokenizer. `ends` are the tokens that end a completion.

    Nothing is loaded before the first pattern.
    """

    def __init__(self, tokenizer: Any, ends: Collection[int]) -> None:
        self._tokenizer, self._ends = tokenizer, sorted(ends)
        self._trie: Any = None

    def matcher(self, pattern: str) -> Matcher:
        """Return a matcher at the beginning of a pattern.

        Raises UserError for a tokenizer that cannot be used. The matcher has an error for a pattern that cannot be used.
        """
        check_installed()
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer

        if self._trie is None:
            if not self._tokenizer.is_fast:
                raise UserError(
                    "--constrain needs a model with a tokenizer.json, and this model's tokenizer is written in Python; leave "
                    "the option out, or use another model"
                )
            self._trie = from_tokenizer(self._tokenizer, eos_token=self._ends or None)
        found = LLMatcher(self._trie, LLMatcher.grammar_from_regex(pattern), log_level=0)
        return Matcher(found, self._trie.vocab_size)


def _reason(matcher: Any) -> str | None:
    if not matcher.is_error():
        return None
    return f"llguidance cannot follow the pattern of --constrain ({matcher.get_error().strip().splitlines()[0][:200]})"


def check_installed() -> None:
    """Raise UserError if the package that computes the masks is missing."""
    try:
        import llguidance  # noqa: F401
    except ImportError as error:
        raise UserError(f"--constrain needs the package llguidance ({error}): {install('constrain')}") from None


def draw_matching(
    logits: torch.Tensor,
    samplings: Sequence[Sampling],
    uniform: torch.Tensor,
    seen: torch.Tensor | None,
    matchers: Sequence[Matcher | None],
) -> torch.Tensor:
    """Like `draw_rows`, but a row with a matcher gets a token that the matcher allows. Other rows are not affected."""
    rows = [at for at, matcher in enumerate(matchers) if matcher is not None]
    if not rows:
        return draw_rows(logits, samplings, uniform, seen)
    masks = np.stack([matcher.allowed(logits.shape[-1]) for matcher in matchers if matcher is not None])
    allowed, own = torch.from_numpy(masks).to(logits.device), upload(rows, logits.device)
    masked = logits[own].masked_fill(~allowed, float("-inf"))
    chosen = draw_rows(logits.index_copy(0, own, masked), samplings, uniform, seen)
    drawn = chosen[own]
    # Where the random number is rounded to 1, `draw` takes the last token that it keeps, which may be a forbidden one.
    fits = allowed.gather(1, drawn.clamp(min=0)[:, None])[:, 0] | (drawn < 0)
    return chosen.index_copy(0, own, torch.where(fits, drawn, masked.argmax(-1)))
