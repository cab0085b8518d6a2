"""Continuous batching over an ordinary left-padded key-value cache: rows leave the moment they end, new ones take their place.

Every row's prompt is read alone, so that no padding stands inside it; the cache of the beginning that all prompts share is
computed once. Appending a token writes in place. Knows tokens and tensors, not text.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from self_instruct.engines.base import Sampling
from self_instruct.engines.rows import EndRules, Row, out_of_memory
from self_instruct.engines.sampling import draw, penalise

SPARE_COLUMNS = 128
SHORTEST_PREFIX = 32
ADMIT_SHARE = 0.25
READ_TOKENS = 4096


class SpareLayer(DynamicLayer):
    """A layer's keys and values [rows, heads, tokens, size] with spare columns, so that most appends copy one column."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Remembers type and device, as the base class does."""
        super().lazy_initialization(key_states, value_states)
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replaces the content by copies."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        rooms = []
        for states in (keys, values):
            rows, heads, tokens, size = states.shape
            room = states.new_empty(rows, heads, tokens + SPARE_COLUMNS, size)
            room[:, :, :tokens] = states
            rooms.append(room)
        self._room = rooms[0], rooms[1]
        self._show(keys.shape[2])

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """Appends columns and returns all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self._room is None:
            self.hold(key_states, value_states)
            return self.keys, self.values
        assert self.keys is not None and self.values is not None
        begin, end = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        if end > self._room[0].shape[2]:
            self.hold(torch.cat([self.keys, key_states], 2), torch.cat([self.values, value_states], 2))
            return self.keys, self.values
        self._room[0][:, :, begin:end], self._room[1][:, :, begin:end] = key_states, value_states
        self._show(end)
        return self.keys, self.values

    def _show(self, tokens: int) -> None:
        assert self._room is not None
        self.keys, self.values = (room[:, :, :tokens] for room in self._room)


class SlotBackend:
    """At most `limit` rows at a time. When memory is short all rows wait again, with what they have drawn, and the limit is
    halved; a row that does not fit even alone ends as an error.
    """

    def __init__(self, model: Any, sampling: Sampling, rules: EndRules, limit: int) -> None:
        self.limit = limit
        self._model, self._sampling, self._rules = model, sampling, rules
        self._layers = model.config.get_text_config().num_hidden_layers
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions, self._keeps_logits = "position_ids" in accepted, "logits_to_keep" in accepted
        self._rows: list[Row] = []
        self._cache: Any = None
        self._mask = torch.empty(0, 0)
        self._prefix: list[int] | None = None
        self._prefix_cache: Any = None

    @property
    def active(self) -> int:
        """Rows under way."""
        return len(self._rows)

    def advance(
        self, waiting: list[Row], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[Row]:
        """One step: lets rows in if enough places are free, else draws a token for every row. Returns those that ended."""
        free = self.limit - len(self._rows)
        admit = bool(waiting) and free > 0 and (not self._rows or free >= max(1, self.limit * ADMIT_SHARE))
        try:
            with torch.inference_mode():
                on_step(self._admit(waiting, free) if admit else self._step())
                ended = [row for row in self._rows if row.reason is not None]
                if ended:
                    self._evict()
        except RuntimeError as error:
            return self._retreat(waiting, out_of_memory(error))
        return ended

    def close(self) -> None:
        """Nothing outlives a call."""

    def _admit(self, waiting: list[Row], free: int) -> int:
        self._find_prefix(waiting)
        waiting.sort(key=lambda row: row.request.index)
        new: list[Row] = []
        while waiting and len(new) < free and sum(len(row.prompt) for row in new) < READ_TOKENS:
            new.append(waiting.pop(0))
        # Rows count as under way before their prompts are read: if memory runs out, none is forgotten.
        before, self._rows = self._rows, self._rows + new
        logits, cache, mask = self._read(new)
        self._merge(bool(before), cache, mask)
        self._draw(new, logits)
        return len(new)

    def _step(self) -> int:
        ids = torch.tensor([[row.tokens[-1]] for row in self._rows], device=self._model.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._rows), 1)], 1)
        logits = self._forward(ids, self._mask, self._mask.sum(1, keepdim=True) - 1, self._cache)
        self._draw(self._rows, logits)
        return len(self._rows)

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits [rows, vocabulary] after the last token of each row."""
        options: dict[str, Any] = {"position_ids": positions} if self._takes_positions else {}
        if self._keeps_logits:
            options["logits_to_keep"] = 1
        result = self._model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
        return result.logits[:, -1]

    def _draw(self, rows: list[Row], logits: torch.Tensor) -> None:
        if self._sampling.repetition_penalty != 1.0:
            seen = [row.prompt + row.tokens for row in rows]
            width = max(map(len, seen))
            padded = torch.tensor([ids + ids[-1:] * (width - len(ids)) for ids in seen], device=logits.device)
            logits = penalise(logits.float(), padded, self._sampling.repetition_penalty)
        chosen = draw(logits, self._sampling, [row.generator for row in rows])
        for row, token in zip(rows, chosen.tolist(), strict=True):
            row.accept(token, self._rules)

    def _find_prefix(self, waiting: list[Row]) -> None:
        """Computes the cache of the beginning that the waiting prompts share, once, when there are two of them."""
        if self._prefix is not None or len(waiting) < 2:
            return
        first, last = min(row.prompt for row in waiting), max(row.prompt for row in waiting)
        shared = next(
            (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
        )
        shared = min(shared, min(len(row.prompt) for row in waiting) - 1)
        self._prefix = first[:shared] if shared >= SHORTEST_PREFIX else []
        if not self._prefix:
            return
        cache = self._new_cache()
        ids = torch.tensor([self._prefix], device=self._model.device)
        positions = torch.arange(shared, device=self._model.device)[None]
        try:
            self._forward(ids, torch.ones_like(ids), positions, cache)
        except RuntimeError as error:
            out_of_memory(error)
            self._prefix = []  # a saving that there is no room for
            return
        self._prefix_cache = cache

    def _read(self, rows: list[Row]) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Logits, cache and mask of rows, each read alone and padded on the left to the longest."""
        logits, caches, device = [], [], self._model.device
        lengths = [len(row.prompt) + len(row.tokens) for row in rows]
        for row, length in zip(rows, lengths, strict=True):
            known = len(self._prefix or []) if self._prefix and row.prompt[: len(self._prefix)] == self._prefix else 0
            known = min(known, length - 1)  # at least one token has to be read for its logits
            cache = self._new_cache()
            if known and self._prefix_cache is not None:
                for layer, source in zip(cache.layers, self._prefix_cache.layers, strict=True):
                    layer.hold(source.keys[:, :, :known], source.values[:, :, :known])
            ids = torch.tensor([(row.prompt + row.tokens)[known:]], device=device)
            mask = torch.ones(1, length, dtype=torch.long, device=device)
            logits.append(self._forward(ids, mask, torch.arange(known, length, device=device)[None], cache))
            caches.append(cache)
        widest = max(lengths)
        merged = self._new_cache()
        for at, layer in enumerate(merged.layers):
            layer.hold(
                *(
                    torch.cat([_padded(getattr(c.layers[at], name), widest) for c in caches])
                    for name in ("keys", "values")
                )
            )
        mask = torch.zeros(len(rows), widest, dtype=torch.long, device=device)
        for at, length in enumerate(lengths):
            mask[at, widest - length :] = 1
        return torch.cat(logits), merged, mask

    def _merge(self, others: bool, cache: Any, mask: torch.Tensor) -> None:
        """Puts new rows below those under way."""
        if not others or self._cache is None:
            self._cache, self._mask = cache, mask
            return
        width = max(self._mask.shape[1], mask.shape[1])
        for mine, theirs in zip(self._cache.layers, cache.layers, strict=True):
            pairs = ((mine.keys, theirs.keys), (mine.values, theirs.values))
            mine.hold(*(torch.cat([_padded(old, width), _padded(new, width)]) for old, new in pairs))
        grow = torch.nn.functional.pad
        self._mask = torch.cat([grow(m, (width - m.shape[1], 0)) for m in (self._mask, mask)])

    def _evict(self) -> None:
        """Lets go of rows that have ended, and of columns that only they used."""
        staying = [at for at, row in enumerate(self._rows) if row.reason is None]
        if not staying:
            self._rows, self._cache = [], None
            return
        index = torch.tensor(staying, device=self._mask.device)
        mask = self._mask[index]
        unused = int(mask.any(0).int().argmax())
        for layer in self._cache.layers:
            layer.hold(layer.keys[index][:, :, unused:], layer.values[index][:, :, unused:])
        self._mask = mask[:, unused:]
        self._rows = [self._rows[at] for at in staying]

    def _retreat(self, waiting: list[Row], message: str) -> list[Row]:
        """After a lack of memory the cache may hold half a step: all rows are read again, fewer at a time."""
        rows, self._rows, self._cache = self._rows, [], None
        self._prefix, self._prefix_cache = [], None  # the memory is needed
        unfinished = [row for row in rows if row.reason is None]
        if len(rows) == 1:
            for row in unfinished:
                row.fail(message)
            return rows
        self.limit = max(1, len(rows) // 2)
        for row in unfinished:
            row.rewind()
        waiting[:0] = unfinished
        return [row for row in rows if row.reason is not None]

    def _new_cache(self) -> Any:  # a Cache, all of whose layers are SpareLayers
        return Cache(layers=[SpareLayer() for _ in range(self._layers)])


def _padded(states: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))
