"""The state of a request while its tokens are drawn, shared by all back-ends."""

import gc
import random
from dataclasses import dataclass, field

import torch

from self_instruct.engines.base import FinishReason, Request, Sampling
from self_instruct.engines.local.constraint import Matcher
from self_instruct.engines.local.sampling import NO_NUMBERS, NOT_A_NUMBER
from self_instruct.engines.local.stopping import StopMatcher
from self_instruct.engines.repetition import repeats

# Parts of torch's messages when memory runs out and it raises another error than OutOfMemoryError.
_OUT_OF_MEMORY = ("can't allocate memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class EndRules:
    """What ends a request before its token limit: an end token or a stop text; `Sampling.stop_repetition` adds loops."""

    end_tokens: frozenset[int]
    matcher: StopMatcher


@dataclass(eq=False)
class ActiveRequest:
    """A request with the token ids of its prompt, its sampling, its random numbers, and the tokens drawn so far.

    `thought` is the unfinished thought at the end of the prompt, or empty. `matcher` has read the tokens drawn so far and says
    which may follow; it is None without a pattern. `failures` counts how often memory ran out although no other request was
    active.
    """

    request: Request
    prompt: list[int]
    sampling: Sampling
    tokens: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    error: str | None = None
    failures: int = 0
    thought: str = ""
    matcher: Matcher | None = None

    def __post_init__(self) -> None:
        self.generator = random.Random(f"tokens:{self.request.seed}")

    def accept(self, token: int, rules: EndRules) -> None:
        """Append a token, and end the request if it is the last one. `NOT_A_NUMBER` ends it without a text."""
        if token == NOT_A_NUMBER:
            self.fail(NO_NUMBERS)
            return
        self.tokens.append(token)
        whole = self.matcher is not None and self.matcher.accept(token)
        if self.matcher is not None and (error := self.matcher.error):
            self.fail(error)
        elif whole or token in rules.end_tokens or rules.matcher.reached(self.tokens, self.request.stop, self.thought):
            self.reason = "stop"
        elif len(self.tokens) >= self.sampling.max_new_tokens:
            self.reason = "length"
        elif self.sampling.stop_repetition and repeats(self.tokens):
            self.reason = "repetition"

    def fail(self, error: str) -> None:
        """End the request without a text."""
        self.reason, self.error, self.tokens = "error", error, []

    def rewind(self) -> None:
        """Reset the random numbers to their state after the tokens drawn so far: one number per token."""
        self.__post_init__()
        for _ in self.tokens:
            self.generator.random()

    def record_out_of_memory(self, error: str) -> bool:
        """Record that memory ran out for this request alone; the second time, end it. Return whether it has ended."""
        self.failures += 1
        if self.failures > 1:
            self.fail(error)
        return self.reason is not None

    def restart(self) -> None:
        """Drop all tokens drawn so far."""
        self.tokens, self.reason = [], None
        if self.matcher is not None:
            self.matcher.restart()
        self.rewind()


def out_of_memory(error: RuntimeError) -> str:
    """Return the message for an out-of-memory error, on an accelerator or the CPU. Re-raises any other error."""
    text = next(iter(str(error).splitlines()), "")
    if not isinstance(error, torch.OutOfMemoryError) and not any(sign in str(error) for sign in _OUT_OF_MEMORY):
        raise error
    return f"out of memory: {text}"


def free_memory() -> None:
    """Return unreferenced memory to the device."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
