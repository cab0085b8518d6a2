"""Static batches through `generate`, for architectures whose state is not an ordinary key-value cache.

A batch takes as long as its longest row.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from self_instruct.engines.local.active_request import ActiveRequest, EndRules, free_memory, out_of_memory
from self_instruct.engines.local.constraint import draw_matching
from self_instruct.engines.local.sampling import NO_NUMBERS, NOT_A_NUMBER


class StaticBackend:
    """Completes rows in left-padded batches of similar length. An interrupted batch returns its finished rows."""

    def __init__(self, model: Any, pad_token: int, rules: EndRules, limit: int) -> None:
        self.limit, self.active = limit, 0  # no row is active between calls
        self._model, self._pad, self._rules = model, pad_token, rules

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """Take a batch out of `waiting` and complete it. If memory runs out, put it back and halve the limit.

        A row that runs out of memory twice although it is alone ends as an error.
        """
        batch = self._next_batch(waiting)
        message = None
        try:
            self._complete(batch, on_step, interrupted)
        except RuntimeError as error:
            message = out_of_memory(error)
        if message is not None:  # outside the handler, whose exception keeps the memory in use
            if len(batch) == 1 and batch[0].record_out_of_memory(message):
                return batch
            self.limit = len(batch) // 2 or self.limit
            for row in batch:
                row.restart()
            waiting[:0] = batch
            free_memory()
        return [row for row in batch if row.reason is not None]

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    def _next_batch(self, waiting: list[ActiveRequest]) -> list[ActiveRequest]:
        """Remove and return the oldest row and those nearest to it in length, longest first."""
        oldest = min(waiting, key=lambda row: row.request.index)
        by_length = sorted(waiting, key=lambda row: (-len(row.prompt), row.request.index))
        start = max(0, min(by_length.index(oldest) - self.limit // 2, len(by_length) - self.limit))
        batch = by_length[start : start + self.limit]
        waiting[:] = [row for row in waiting if row not in batch]
        return batch

    def _complete(
        self, batch: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> None:
        width = max(len(row.prompt) for row in batch)
        device = self._model.device
        ids = torch.tensor([[self._pad] * (width - len(row.prompt)) + row.prompt for row in batch], device=device)
        mask = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in batch], device=device)
        config = GenerationConfig(
            max_new_tokens=max(row.sampling.max_new_tokens for row in batch), do_sample=False, num_beams=1, use_cache=True,
            eos_token_id=sorted(self._rules.end_tokens) or None, pad_token_id=self._pad,
        )  # fmt: skip
        with torch.inference_mode():
            self._model.generate(
                input_ids=ids, attention_mask=mask, generation_config=config,
                logits_processor=LogitsProcessorList([_Chooser(batch, ids, mask)]),
                stopping_criteria=StoppingCriteriaList([_Watcher(batch, self._rules, on_step, interrupted)]),
            )  # fmt: skip


class _Chooser(LogitsProcessor):
    """Draws each row's next token with the row's own generator, and masks all other tokens for `generate`."""

    def __init__(self, rows: Sequence[ActiveRequest], ids: torch.Tensor, mask: torch.Tensor) -> None:
        self._rows, self._width = rows, ids.shape[1]
        # Padding must not count as seen text: it is often the end token, which would then be penalised.
        self._prompt = torch.where(mask.bool(), ids, ids[:, -1:])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        samplings, seen = [row.sampling for row in self._rows], None
        if any(sampling.repetition_penalty != 1.0 for sampling in samplings):
            texts = torch.cat([self._prompt, input_ids[:, self._width :]], dim=1)
            seen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, texts, True)
        uniform = torch.tensor([row.generator.random() for row in self._rows], device=scores.device)
        matchers = [row.matcher if row.reason is None else None for row in self._rows]
        chosen = draw_matching(scores, samplings, uniform, seen, matchers)
        for row, token in zip(self._rows, chosen.tolist(), strict=True):
            if token == NOT_A_NUMBER and row.reason is None:
                row.fail(NO_NUMBERS)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen.clamp(min=0)[:, None], 0.0)


class _Watcher(StoppingCriteria):
    """Gives every new token to its row, and stops the rows that have ended, or all rows on interruption."""

    def __init__(
        self,
        rows: Sequence[ActiveRequest],
        rules: EndRules,
        on_step: Callable[[int], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._rows, self._rules, self._on_step, self._interrupted = rows, rules, on_step, interrupted

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        drawing = [row.reason is None for row in self._rows]
        self._on_step(sum(drawing))
        for row, token, draws in zip(self._rows, input_ids[:, -1].tolist(), drawing, strict=True):
            if draws:
                row.accept(token, self._rules)
        done = [self._interrupted() or row.reason is not None for row in self._rows]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)
