"""A model with the cache of its active rows: prefills new rows and draws a token for each, without waiting for an
accelerator.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.attention import group_queries
from self_instruct.engines.local.constraint import Matcher, draw_matching
from self_instruct.engines.local.packing import pack_linears
from self_instruct.engines.local.prefill import Reading
from self_instruct.engines.local.sampling import upload
from self_instruct.engines.local.slot_cache import SlotCache


class Drawn:
    """Tokens [rows] being copied to the host; on an accelerator the copy runs asynchronously."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self._event: Any = None
        self._tokens = tokens.to("cpu", non_blocking=True)
        if tokens.device.type != "cpu":
            self._event = torch.Event(tokens.device)
            self._event.record()

    def tokens(self) -> list[int]:
        """Wait for the copy, and return the tokens."""
        if self._event is not None:
            self._event.synchronize()
        return self._tokens.tolist()


class SlotModel:
    """The rows in slots 0 to n - 1, each with its next input token."""

    def __init__(self, model: Any) -> None:
        self._model = model
        pack_linears(model)
        group_queries(model)
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers)
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions, self._keeps_logits = "position_ids" in accepted, "logits_to_keep" in accepted
        self._next, self._seen = self._upload([]), torch.empty(0, 0, dtype=torch.bool)

    def read(
        self,
        texts: Sequence[Sequence[int]],
        samplings: Sequence[Sampling],
        readings: Sequence[Reading],
        rows: int,
        slots: int,
    ) -> None:
        """Add new rows after the first `rows` ones, with all tokens of each text except the last, which is its next input.

        Known tokens are copied from the cache; their source may be an ended row that is still in slot `rows`.
        """
        cache, last = self.cache, rows + len(readings)
        cache.reserve(last, max(len(text) for text in texts) - 1, slots)
        starts = [cache.end + 1 - len(text) for text in texts]
        for at in reversed(range(len(texts))):  # a source's own slot is written last
            if readings[at].known:
                cache.copy(readings[at].source, rows + at, starts[at], readings[at].known)
        cache.starts[rows:] = starts
        width = max(reading.unread for reading in readings)
        if width:
            self._read(texts, readings, rows, width)
        if len(self._next) < last:
            self._next = torch.nn.functional.pad(self._next, (0, max(last, slots) - len(self._next)))
        self._next[rows:last] = self._upload([text[-1] for text in texts])
        penalised = [at for at, sampling in enumerate(samplings) if sampling.repetition_penalty != 1.0]
        if penalised or len(self._seen):
            self._mark_seen({rows + at: texts[at] for at in penalised})

    def launch(
        self, uniform: Sequence[float], samplings: Sequence[Sampling], matchers: Sequence[Matcher | None]
    ) -> Drawn:
        """Draw a token for every row with its own sampling, from those that its matcher allows.

        If this fails, it can be called again: a second call sets everything that the first one changed.
        """
        cache, rows = self.cache, len(uniform)
        cache.reserve(rows, 0, rows)
        starts, begin, end = self._upload(cache.starts)[:, None], min(cache.starts), cache.end
        mask = torch.arange(begin, end + 1, device=self._model.device) >= starts
        ids = self._next[:rows]
        logits = self._forward(ids[:, None], mask, end - starts, cache.view(0, rows, begin, end + 1, end - begin))
        seen = None
        if any(sampling.repetition_penalty != 1.0 for sampling in samplings):
            seen = self._seen[:rows].scatter_(1, ids[:, None], True)
        drawn = draw_matching(logits, samplings, self._upload(uniform, torch.float32), seen, matchers)
        result = Drawn(drawn)
        self._next[:rows] = drawn.clamp(min=0)
        cache.end += 1
        return result

    def remove(self, slot: int) -> None:
        """Remove a row; the last row moves into its slot."""
        last = len(self.cache.starts) - 1
        self.cache.remove(slot)
        self._next[slot] = self._next[last]
        if len(self._seen):
            self._seen[slot] = self._seen[last]

    def _read(self, texts: Sequence[Sequence[int]], readings: Sequence[Reading], rows: int, width: int) -> None:
        end, starts = self.cache.end, self._upload(self.cache.starts[rows:])[:, None]
        begin = min(self.cache.starts[rows:])
        padding = [width - reading.unread for reading in readings]
        ids = [[0] * pad + list(text[r.known : -1]) for pad, text, r in zip(padding, texts, readings, strict=True)]
        columns = torch.arange(begin, end, device=self._model.device)
        # The padding of a shorter text covers the columns of its known tokens, which must not be overwritten.
        own = columns[-width:] >= end - width + self._upload(padding)[:, None] if any(padding) else None
        positions = (columns[-width:] - starts).clamp(min=0)
        view = self.cache.view(rows, rows + len(texts), begin, end, end - width - begin, own)
        self._forward(self._upload(ids), columns >= starts, positions, view)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        """Return the logits [rows, vocabulary] after the last token of each row."""
        options: dict[str, Any] = {"position_ids": positions} if self._takes_positions else {}
        if self._keeps_logits:
            options["logits_to_keep"] = 1
        result = self._model(
            input_ids=ids, attention_mask=mask.long(), past_key_values=cache, use_cache=True, **options
        )
        return result.logits[:, -1]

    def _mark_seen(self, texts: Mapping[int, Sequence[int]]) -> None:
        """Allocate the masks of all slots, and mark the tokens of the new rows."""
        missing = len(self._next) - len(self._seen)
        if missing:
            vocabulary = self._model.config.get_text_config().vocab_size
            more = torch.zeros(missing, vocabulary, dtype=torch.bool, device=self._model.device)
            self._seen = torch.cat([self._seen, more]) if len(self._seen) else more
        for slot, text in texts.items():
            self._seen[slot] = False
            self._seen[slot, self._upload(text)] = True

    def _upload(self, values: Sequence[Any], dtype: torch.dtype = torch.long) -> torch.Tensor:
        return upload(values, self._model.device, dtype)
