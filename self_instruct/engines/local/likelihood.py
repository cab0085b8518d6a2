"""Measure how well a causal language model predicts an answer, with the task before it and without.

Task and answer are tokenized separately, so that both losses are means over the same tokens. Rows are padded on the right,
where a causal model does not look, and batches have a fixed size, so that the losses do not depend on the free memory.
"""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from self_instruct.engines.local.active_request import free_memory
from self_instruct.engines.local.loading import check_numbers, load_model
from self_instruct.engines.local.placement import Machine, Placement, check
from self_instruct.engines.local.tokenizer import PromptEncoder, context_length, read_config
from self_instruct.errors import UserError

BATCH_TOKENS, BATCH_ROWS = 4096, 32
"""The most tokens of a batch, with padding, and its most rows. A longer row is read alone."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The token ids of an answer, and of the text before it: with the task (`prompt`), and without (`opening`).

    `cut` is the number of tokens at the end of the answer that the model's context has no room for; they are not in `answer`.
    """

    prompt: list[int]
    opening: list[int]
    answer: list[int]
    cut: int = 0


class AnswerModel:
    """A causal language model that predicts answers. `max_length` limits prompt and answer together, as the context does."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        revision: str,
        chat_template: str = "auto",
        arguments: Mapping[str, Any] | None = None,
        max_length: int | None = None,
    ) -> None:
        self._model, self._tokenizer, self.revision = model, tokenizer, revision
        self._encoder = PromptEncoder(tokenizer, chat_template, arguments)
        limits = [limit for limit in (context_length(model.config, tokenizer), max_length) if limit is not None]
        self.limit = min(limits, default=None)
        self._last_logits_only = "logits_to_keep" in inspect.signature(model.forward).parameters

    def encode(self, task: str, answer: str) -> Answer:
        """Return the tokens of an answer, of its prompt and of its opening. `answer` is empty if it has no room at all."""
        prompt, opening = self._encoder.before_answer(task)
        ids = self._encoder.answer(answer)
        room = len(ids) if self.limit is None else max(0, self.limit - len(prompt))
        return Answer(prompt, opening, ids[:room], max(0, len(ids) - room))

    def losses(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        """Return, for each row of a text and the text that follows it, the mean negative log-likelihood of the tokens of the
        second, in nats. Each text has at least one token.
        """
        found = [0.0] * len(rows)
        for batch in batches([len(before) + len(after) for before, after in rows]):
            for index, loss in zip(batch, self._of_batch([rows[index] for index in batch]), strict=True):
                found[index] = loss
        return found

    def _of_batch(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        try:
            return self._losses(rows)
        except torch.OutOfMemoryError as error:
            if len(rows) == 1:
                raise UserError(
                    f"one text of {len(rows[0][0]) + len(rows[0][1]):,} tokens does not fit into memory; use --max_length, a "
                    "smaller model or --quantization 4bit"
                ) from error
        free_memory()
        return [loss for row in rows for loss in self._of_batch([row])]

    def _losses(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
        longest = max(len(before) + len(after) for before, after in rows)
        ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for at, (before, after) in enumerate(rows):
            ids[at, : len(before) + len(after)] = torch.tensor([*before, *after])
            mask[at, : len(before) + len(after)] = 1
        # The logits at the last token of the first text predict the first token of the second.
        begin = min(len(before) for before, _ in rows) - 1 if self._last_logits_only else 0
        more = {"logits_to_keep": longest - begin} if self._last_logits_only else {}
        device = self._model.device
        found = []
        with torch.inference_mode():
            output = self._model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False, **more)
            for logits, (before, after) in zip(output.logits, rows, strict=True):
                first = len(before) - 1 - begin
                predicted = logits[first : first + len(after)].float()
                wanted = torch.tensor(after, device=predicted.device)
                each = torch.nn.functional.cross_entropy(predicted, wanted, reduction="none")
                found.append(float(each.double().mean()))
        return found


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return the indices of rows of these lengths in batches, the longest first; at most a quarter of a row is padding."""
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        batch = found[-1] if found else []
        longest = lengths[batch[0]] if batch else 0
        fits = len(batch) < BATCH_ROWS and longest * (len(batch) + 1) <= BATCH_TOKENS
        if batch and fits and 4 * lengths[index] >= 3 * longest:
            batch.append(index)
        else:
            found.append([index])
    return found


def load_answer_model(
    name: str,
    *,
    revision: str | None = None,
    placement: Placement | None = None,
    trust_remote_code: bool = False,
    adapter: str | None = None,
    chat_template: str = "auto",
    arguments: Mapping[str, Any] | None = None,
    max_length: int | None = None,
) -> AnswerModel:
    """Load a model that predicts answers.

    Raises UserError if it cannot be loaded, is not a causal language model, or computes numbers that are not finite.
    """
    placement = placement or Placement()
    check(placement, Machine.here(1), read_config(name, revision, trust_remote_code))
    model, tokenizer, found_revision = load_model(name, revision, placement, trust_remote_code, adapter)
    check_numbers(model, tokenizer)
    return AnswerModel(model, tokenizer, found_revision, chat_template, arguments, max_length)
