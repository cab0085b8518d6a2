"""Any Hugging Face causal language model, in this process: static left-padded batches through `generate`.

Knows tokens, padding and memory; knows nothing of tasks, blocks or files. What decides a completion is set here and
nowhere else: the model's own generation defaults are not used.
"""

import gc
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from self_instruct.engines.base import Completion, FinishReason, Request, Sampling, cut_at_stop, timestamp
from self_instruct.engines.loading import context_length, end_tokens
from self_instruct.engines.sampling import draw, penalise
from self_instruct.engines.stopping import StopMatcher
from self_instruct.errors import UserError


class HuggingFaceEngine:
    """Completes requests in batches of at most `batch_size` prompts of similar length.

    When the device runs out of memory the batch is halved, for good, and its requests wait their turn again; a request
    that does not fit even alone ends as an error. `on_step` is told, at every step, how many rows drew a token.
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
    ) -> None:
        if chat_template == "always" and not tokenizer.chat_template:
            raise UserError("--chat_template is 'always', but the model's tokenizer has none; use 'auto' or 'never'")
        self.model_revision, self.context_length = revision, context_length(model, tokenizer)
        self.batch_size, self.on_step = batch_size, on_step
        self._model, self._tokenizer, self._sampling, self._rank = model, tokenizer, sampling, rank
        self._chat = chat_template == "always" or (chat_template == "auto" and bool(tokenizer.chat_template))
        self._ends = end_tokens(model, tokenizer)
        self._matcher = StopMatcher(tokenizer)
        # Else `generate` would fill what is not set here from the model's own defaults.
        model.generation_config = GenerationConfig()
        self._waiting: list[tuple[Request, list[int]]] = []
        self._interrupted = False

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """The length of a prompt, with the chat template where one is used, in tokens."""
        return len(self._encode(prompt, opening))

    def submit(self, requests: Sequence[Request]) -> None:
        """Queues requests."""
        self._waiting.extend((request, self._encode(request.prompt, request.opening)) for request in requests)

    def poll(self) -> list[Completion]:
        """Completes the oldest pending request together with the others nearest to it in length."""
        while self._waiting and not self._interrupted:
            too_long = self._refuse_too_long()
            if too_long:
                return too_long
            batch = self._next_batch()
            try:
                return self._complete(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    self._free()
                    return [self._failed(*batch[0], f"out of memory: {str(error).splitlines()[0]}")]
                self.batch_size = len(batch) // 2
                self._waiting = batch + self._waiting
            # Outside the handler: the traceback would keep the tensors of the failed step alive.
            self._free()
        return []

    def interrupt(self) -> None:
        """Ends generation at the next token; only rows that are whole are returned."""
        self._interrupted = True

    def close(self) -> None:
        """Forgets what is pending and lets go of the model."""
        self._waiting.clear()
        self._model = None
        self._free()

    def _encode(self, prompt: str, opening: str) -> list[int]:
        if not self._chat:
            return self._tokenizer(prompt + opening)["input_ids"]
        # The opening begins the answer, so a chat model goes on from it as a base model does.
        messages = [{"role": "user", "content": prompt.rstrip()}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text + opening, add_special_tokens=False)["input_ids"]

    def _refuse_too_long(self) -> list[Completion]:
        limit = (self.context_length or 10**9) - self._sampling.max_new_tokens
        refused = [(request, ids) for request, ids in self._waiting if not 0 < len(ids) <= limit]
        self._waiting = [(request, ids) for request, ids in self._waiting if 0 < len(ids) <= limit]
        reason = f"the prompt does not fit: 1 to {limit} tokens are left beside max_new_tokens"
        return [self._failed(request, ids, reason) for request, ids in refused]

    def _next_batch(self) -> list[tuple[Request, list[int]]]:
        """The pending requests nearest in length to the oldest one, which is always among them, longest first."""
        oldest = min(self._waiting, key=lambda item: item[0].index)
        by_length = sorted(self._waiting, key=lambda item: (-len(item[1]), item[0].index))
        at = by_length.index(oldest)
        start = max(0, min(at - self.batch_size // 2, len(by_length) - self.batch_size))
        batch = by_length[start : start + self.batch_size]
        self._waiting = [item for item in self._waiting if item not in batch]
        return batch

    def _complete(self, batch: list[tuple[Request, list[int]]]) -> list[Completion]:
        requests = [request for request, _ in batch]
        width = max(len(ids) for _, ids in batch)
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(row)) + row for _, row in batch], device=self._model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for _, row in batch], device=self._model.device)
        chooser = _Chooser(requests, ids, mask, self._sampling)
        watcher = _Watcher(requests, width, self)
        config = GenerationConfig(
            max_new_tokens=self._sampling.max_new_tokens, do_sample=False, num_beams=1, use_cache=True,
            eos_token_id=sorted(self._ends) or None, pad_token_id=pad,
        )  # fmt: skip
        with torch.inference_mode():
            rows = self._model.generate(
                input_ids=ids, attention_mask=mask, generation_config=config,
                logits_processor=LogitsProcessorList([chooser]), stopping_criteria=StoppingCriteriaList([watcher]),
            )  # fmt: skip
        created = timestamp()
        finished = [
            self._read(request, len(prompt), row, created)
            for (request, prompt), row in zip(batch, rows[:, width:].tolist(), strict=True)
        ]
        return [completion for completion in finished if completion is not None]

    def _read(self, request: Request, prompt_tokens: int, tokens: list[int], created: str) -> Completion | None:
        """The completion of one row, or None for a row that an interruption left unfinished."""
        end = next((at for at, token in enumerate(tokens) if token in self._ends), None)
        counted = len(tokens) if end is None else end + 1
        text = self._tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text, stopped = cut_at_stop(text, request.stop)
        if end is None and not stopped and counted < self._sampling.max_new_tokens:
            return None
        reason: FinishReason = "length" if end is None and not stopped else "stop"
        if stopped:
            counted = self._tokens_until_stop(request, tokens)
        return Completion(request.index, text, reason, prompt_tokens, counted, self._rank, created)

    def _tokens_until_stop(self, request: Request, tokens: list[int]) -> int:
        """How many tokens the row drew until its stop text; after it, `generate` only padded."""
        reached = (at for at in range(1, len(tokens) + 1) if self._matcher.reached(tokens[:at], request.stop))
        return next(reached, len(tokens))

    def _failed(self, request: Request, ids: list[int], reason: str) -> Completion:
        return Completion(request.index, "", "error", len(ids), 0, self._rank, timestamp(), reason)

    def _free(self) -> None:
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


class _Chooser(LogitsProcessor):
    """Draws each row's next token with the row's own generator and leaves `generate` only that one to pick."""

    def __init__(self, requests: Sequence[Request], ids: torch.Tensor, mask: torch.Tensor, sampling: Sampling) -> None:
        self._sampling, self._width = sampling, ids.shape[1]
        self._generators = [random.Random(f"tokens:{request.seed}") for request in requests]
        # Padding must not count as text that was seen: it often is the end token, which would then be penalised.
        self._prompt = torch.where(mask.bool(), ids, ids[:, -1:])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._sampling.repetition_penalty != 1.0:
            seen = torch.cat([self._prompt, input_ids[:, self._width :]], dim=1)
            scores = penalise(scores, seen, self._sampling.repetition_penalty)
        if self._sampling.temperature == 0:
            return scores
        chosen = draw(scores, self._sampling, self._generators)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen[:, None], 0.0)


class _Watcher(StoppingCriteria):
    """Ends a row at its own stop texts, looking at generated text only, and every row when the engine is interrupted."""

    def __init__(self, requests: Sequence[Request], width: int, engine: HuggingFaceEngine) -> None:
        self._requests, self._width, self._engine = requests, width, engine
        self._done = [False] * len(requests)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        rows = input_ids[:, self._width :].tolist()
        self._engine.on_step(self._done.count(False))
        for at, (request, tokens) in enumerate(zip(self._requests, rows, strict=True)):
            if not self._done[at]:
                self._done[at] = tokens[-1] in self._engine._ends or self._engine._matcher.reached(
                    tokens, request.stop
                )
        done = [self._engine._interrupted or flag for flag in self._done]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)
