"""Generate with a Hugging Face causal language model in this process.

The engine converts between text and tokens; a back-end (backend.py) draws the tokens. The model's own generation defaults are
ignored, so that only our options decide a completion.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from transformers import GenerationConfig

from self_instruct.engines.base import Completion, Hardware, Request, Sampling, timestamp
from self_instruct.engines.local.active_request import ActiveRequest, EndRules, free_memory
from self_instruct.engines.local.backend import choose_backend
from self_instruct.engines.local.constraint import Patterns
from self_instruct.engines.local.generation_settings import unused_settings
from self_instruct.engines.local.hardware import hardware_of, keep_freed_memory
from self_instruct.engines.local.row_search import RowSearch, RowsTried
from self_instruct.engines.local.slots import SlotBackend
from self_instruct.engines.local.stopping import StopMatcher, TurnDecoder
from self_instruct.engines.local.tokenizer import PromptEncoder, context_length, end_tokens, unusable

_log = logging.getLogger(__name__)


class HuggingFaceEngine:
    """Completes requests, at most `batch_size` at a time, or as many as a `search` says if the back-end is slots.

    If the device runs out of memory, the batch size is halved permanently and the requests are queued again; a request that
    does not fit even alone ends as an error. `on_step` is called at every step with the number of rows that drew a token.
    `method` includes `reasons_against`, the reasons against other engines.
    """

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
        same_sampling: bool = True,
        template_arguments: Mapping[str, Any] | None = None,
        reasons_against: Mapping[str, str] | None = None,
        search: RowSearch | None = None,
    ) -> None:
        self._encoder = PromptEncoder(tokenizer, chat_template, template_arguments)
        self.model_revision, self.context_length = revision, context_length(model.config, tokenizer)
        self.on_step = on_step
        self._model, self._tokenizer, self._sampling, self._rank = model, tokenizer, sampling, rank
        self._decoder = TurnDecoder(tokenizer)
        self._vocabulary = model.get_input_embeddings().weight.shape[0]
        self._ends = end_tokens(model.generation_config, model.config, tokenizer)
        if rank == 0 and (unused := unused_settings(model.generation_config, sampling)):
            _log.info("Not used from the model's generation_config.json: %s.", unused)
        # Without this, `generate` would take options that we do not set from the model's own defaults.
        model.generation_config = GenerationConfig()
        self._patterns = Patterns(tokenizer, self._ends)
        rules = EndRules(self._ends, StopMatcher(tokenizer))
        self._backend, self.method = choose_backend(
            backend, model, tokenizer, sampling, rules, batch_size, same_sampling, reasons_against
        )
        if model.device.type == "cpu":
            keep_freed_memory()
        self._waiting: list[ActiveRequest] = []
        self._refused: list[ActiveRequest] = []
        self._interrupted = False
        # The other back-ends cannot change their rows while they generate.
        self._search = search if isinstance(self._backend, SlotBackend) else None
        self._stepped_at = perf_counter()
        if self._search is not None:
            self._backend.limit = self._search.rows

    @property
    def rows(self) -> int:
        """The maximum number of requests processed at a time."""
        return self._backend.limit

    @property
    def rows_tried(self) -> RowsTried | None:
        """What the search for rows has found so far; None without one."""
        return self._search.tried() if self._search is not None else None

    @property
    def hardware(self) -> Hardware:
        """The devices that hold the model."""
        return hardware_of(self._model)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. One whose prompt is unusable ends as an error; the others are not affected."""
        for request in requests:
            sampling = request.sampling or self._sampling
            row = ActiveRequest(
                request, self._encoder.encode(request.prompt, request.opening, request.system, request.raw), sampling,
                thought=self._encoder.thought(request.opening, request.raw),
                matcher=self._patterns.matcher(request.pattern) if request.pattern else None,
            )  # fmt: skip
            reason = unusable(row.prompt, sampling.max_new_tokens, self.context_length, self._vocabulary)
            if reason := reason or (row.matcher.error if row.matcher else None):
                row.fail(reason)
                self._refused.append(row)
            else:
                self._waiting.append(row)

    def poll(self) -> list[Completion]:
        """Generate until at least one request has ended. While a search for rows lacks requests, generate for one step."""
        ended, self._refused = self._refused, []
        while not ended and (self._waiting or self._backend.active) and not self._interrupted:
            limit = self._backend.limit
            ended = self._backend.advance(self._waiting, self._on_step, lambda: self._interrupted)
            if self._backend.limit < limit:
                _log.warning("Out of memory with %d rows; continuing with %d.", limit, self._backend.limit)
                free_memory()
                if self._search is not None:
                    self._search.run_out(self._backend.limit)
            elif self._search is not None:
                self._backend.limit = self._search.rows
                if self._search.ended is None and self._backend.active + len(self._waiting) < self._search.rows:
                    break
        created = timestamp()
        return [self._completion(row, created) for row in ended]

    def interrupt(self) -> None:
        """Stop generating at the next token; only finished rows are returned."""
        self._interrupted = True

    def close(self) -> None:
        """Drop pending requests and free the model."""
        self._waiting.clear()
        if self._backend is not None:
            self._backend.close()
        self._model = self._backend = None  # type: ignore[assignment]
        free_memory()

    def _on_step(self, rows: int) -> None:
        if self._search is not None:
            before, self._stepped_at = self._stepped_at, perf_counter()
            self._search.record(rows, self._stepped_at - before)
        self.on_step(rows)

    def _completion(self, row: ActiveRequest, created: str) -> Completion:
        request, tokens = row.request, row.tokens
        text, thought = self._decoder.completion(tokens, self._ends, request.stop, row.thought)
        return Completion(
            request.index, text, row.reason or "error", len(row.prompt), len(tokens), self._rank, created, row.error,
            reasoning_tokens=thought,
        )  # fmt: skip
