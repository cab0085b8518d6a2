"""Any Hugging Face causal language model, in this process.

Knows text, tokens and chat templates; how tokens are drawn is the business of a back-end: slots.py where the model keeps an
ordinary key-value cache, static.py otherwise. Knows nothing of tasks, blocks or files. What decides a completion is set
here and nowhere else: the model's own generation defaults are not used.
"""

import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers import GenerationConfig

from self_instruct.engines.base import Completion, Request, Sampling, cut_at_stop, timestamp
from self_instruct.engines.loading import context_length, end_tokens
from self_instruct.engines.rows import EndRules, Row
from self_instruct.engines.slots import SlotBackend
from self_instruct.engines.static import StaticBackend
from self_instruct.engines.stopping import StopMatcher
from self_instruct.errors import UserError

_ORDINARY_LAYERS = {"full_attention", "sliding_attention"}
_log = logging.getLogger(__name__)


class Backend(Protocol):
    """Draws tokens for rows; `limit` is how many at a time, `active` how many it holds."""

    limit: int

    @property
    def active(self) -> int:
        """Rows under way."""

    def advance(
        self, waiting: list[Row], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[Row]:
        """Takes rows out of `waiting` as it likes, works on some, and returns those that have ended."""


class HuggingFaceEngine:
    """Completes requests, at most `batch_size` at a time.

    When the device runs out of memory that number is halved, for good, and rows wait their turn again; a request that does
    not fit even alone ends as an error. `on_step` is told, at every step, how many rows drew a token.
    """

    capacity: int | None = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        revision: str,
        sampling: Sampling,
        batch_size: int = 8,
        chat_template: str = "auto",
        rank: int = 0,
        on_step: Callable[[int], None] = lambda rows: None,
        backend: str = "auto",
    ) -> None:
        if chat_template == "always" and not tokenizer.chat_template:
            raise UserError("--chat_template is 'always', but the model's tokenizer has none; use 'auto' or 'never'")
        self.model_revision, self.context_length = revision, context_length(model, tokenizer)
        self.on_step = on_step
        self._model, self._tokenizer, self._sampling, self._rank = model, tokenizer, sampling, rank
        self._chat = chat_template == "always" or (chat_template == "auto" and bool(tokenizer.chat_template))
        self._ends = frozenset(end_tokens(model, tokenizer))
        if self._chat:
            self._check_template()
        # Else `generate` would fill what is not set by us from the model's own defaults.
        model.generation_config = GenerationConfig()
        rules = EndRules(self._ends, StopMatcher(tokenizer), sampling.max_new_tokens)
        self._backend = choose_backend(backend, model, tokenizer.pad_token_id, sampling, rules, batch_size)
        self._waiting: list[Row] = []
        self._refused: list[Row] = []
        self._interrupted = False

    @property
    def rows(self) -> int:
        """How many requests are completed together, as long as memory lasts."""
        return self._backend.limit

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """The length of a prompt, with the chat template where one is used, in tokens."""
        return len(self._encode(prompt, opening))

    def submit(self, requests: Sequence[Request]) -> None:
        """Queues requests; one whose prompt does not fit the context is refused alone."""
        limit = (self.context_length or 10**9) - self._sampling.max_new_tokens
        for request in requests:
            row = Row(request, self._encode(request.prompt, request.opening))
            if 0 < len(row.prompt) <= limit:
                self._waiting.append(row)
            else:
                row.fail(f"the prompt has {len(row.prompt)} tokens, but must have 1 to {limit} beside max_new_tokens")
                self._refused.append(row)

    def poll(self) -> list[Completion]:
        """Generates until at least one request has ended."""
        ended, self._refused = self._refused, []
        while not ended and (self._waiting or self._backend.active) and not self._interrupted:
            limit = self._backend.limit
            ended = self._backend.advance(self._waiting, self.on_step, lambda: self._interrupted)
            if self._backend.limit < limit:
                _log.warning("out of memory with %d rows; going on with %d", limit, self._backend.limit)
                self._free()
        created = timestamp()
        return [self._completion(row, created) for row in ended]

    def interrupt(self) -> None:
        """Ends generation at the next token; only rows that are whole are returned."""
        self._interrupted = True

    def close(self) -> None:
        """Forgets what is pending and lets go of the model."""
        self._waiting.clear()
        self._model = self._backend = None  # type: ignore[assignment]
        self._free()

    def _encode(self, prompt: str, opening: str) -> list[int]:
        if not self._chat:
            return self._tokenizer(prompt + opening)["input_ids"]
        # The opening begins the answer, so a chat model goes on from it as a base model does.
        messages = [{"role": "user", "content": prompt.rstrip()}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text + opening, add_special_tokens=False)["input_ids"]

    def _check_template(self) -> None:
        try:
            self._encode("A task.", "1. ")
        except Exception as error:  # templates are programs, and fail as programs do
            raise UserError(
                f"the chat template of the model's tokenizer does not take a user's message ({type(error).__name__}: {error}); "
                "mend it, or use --chat_template never"
            ) from error

    def _completion(self, row: Row, created: str) -> Completion:
        request, tokens = row.request, row.tokens
        ended = bool(tokens) and tokens[-1] in self._ends
        text = self._tokenizer.decode(
            tokens[:-1] if ended else tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        text, _ = cut_at_stop(text, request.stop)
        reason = row.reason or "error"
        return Completion(request.index, text, reason, len(row.prompt), len(tokens), self._rank, created, row.error)

    def _free(self) -> None:
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def choose_backend(
    name: str, model: Any, pad_token: int, sampling: Sampling, rules: EndRules, batch_size: int
) -> Backend:
    """The back-end of that name; "auto" takes slots where every layer of the model keeps an ordinary cache."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or _ORDINARY_LAYERS)
    shared = getattr(config, "num_kv_shared_layers", 0)  # such layers never fill a cache of their own
    ordinary = kinds <= _ORDINARY_LAYERS and not shared and not getattr(model, "_is_stateful", False)
    if name == "static" or (name == "auto" and not ordinary):
        return StaticBackend(model, pad_token, sampling, rules, batch_size)
    if not ordinary:
        raise UserError(
            f"--engine_backend is 'slots', but {type(model).__name__} does not keep an ordinary key-value cache in every "
            "layer; use 'static' or 'auto'"
        )
    return SlotBackend(model, sampling, rules, batch_size)
