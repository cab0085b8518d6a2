"""One request while its tokens are drawn: what every back-end keeps of it, and when it ends."""

import gc
import random
from dataclasses import dataclass, field

import torch

from self_instruct.engines.base import FinishReason, Request, Sampling
from self_instruct.engines.local.sampling import NO_NUMBERS, NOT_A_NUMBER
from self_instruct.engines.local.stopping import StopMatcher

# How torch says it where it has no exception of its own for it.
_OUT_OF_MEMORY = ("can't allocate memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class EndRules:
    """What ends a row, beside the number of its new tokens: an end token, or one of its request's stop texts."""

    end_tokens: frozenset[int]
    matcher: StopMatcher


@dataclass(eq=False)
class ActiveRequest:
    """A request with its prompt's token ids, how its tokens are drawn, its own random numbers, and the tokens drawn so far.

    `failures` counts how often memory was short although it was alone.
    """

    request: Request
    prompt: list[int]
    sampling: Sampling
    tokens: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    error: str | None = None
    failures: int = 0

    def __post_init__(self) -> None:
        self.generator = random.Random(f"tokens:{self.request.seed}")

    def accept(self, token: int, rules: EndRules) -> None:
        """Takes the next token, and with it perhaps the end. A row whose logits are no numbers ends without a text."""
        if token == NOT_A_NUMBER:
            self.fail(NO_NUMBERS)
            return
        self.tokens.append(token)
        if token in rules.end_tokens or rules.matcher.reached(self.tokens, self.request.stop):
            self.reason = "stop"
        elif len(self.tokens) >= self.sampling.max_new_tokens:
            self.reason = "length"

    def fail(self, error: str) -> None:
        """Ends the row without a text."""
        self.reason, self.error, self.tokens = "error", error, []

    def rewind(self) -> None:
        """Puts the random numbers where they have to be after the tokens drawn so far, one number a token."""
        self.__post_init__()
        for _ in self.tokens:
            self.generator.random()

    def fall_short(self, error: str) -> bool:
        """Notes that memory was short for this row alone. Once may be chance; the second time it ends without a text."""
        self.failures += 1
        if self.failures > 1:
            self.fail(error)
        return self.reason is not None

    def restart(self) -> None:
        """Forgets what was drawn, as if it had never begun."""
        self.tokens, self.reason = [], None
        self.rewind()


def out_of_memory(error: RuntimeError) -> str:
    """What to say of an error that is a lack of memory, on an accelerator or the CPU. Raises any other error again."""
    text = next(iter(str(error).splitlines()), "")
    if not isinstance(error, torch.OutOfMemoryError) and not any(sign in str(error) for sign in _OUT_OF_MEMORY):
        raise error
    return f"out of memory: {text}"


def free_memory() -> None:
    """Gives memory that nothing refers to any more back to the device."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
