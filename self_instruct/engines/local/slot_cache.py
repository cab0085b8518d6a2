"""A key-value cache of many rows, one tensor per layer, written in place; the tokens of all rows end at the same
column.

A new row is written to the left of the common end; a removed row is overwritten by the last one. No other row is
copied, except that all rows shift when the buffer is full.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

SPARE_COLUMNS = 128


class View:
    """The part of the cache that a forward pass reads and writes: the rows in `slots`, columns `begin` to `end`, the
    first `past` of which are cached.

    If `write_mask` [rows, new columns] is given, new columns are written only where it is true. `size` is the number of
    slots and columns of the whole cache.
    """

    slots, begin, end, past = slice(0, 0), 0, 0, 0
    write_mask: torch.Tensor | None = None
    size = (0, 0)


class SlotLayer(DynamicLayer):
    """Keys and values [slots, heads, columns, size] of a layer, limited to the view."""

    # Makes transformers always build the mask: checking whether it masks anything would wait for the accelerator.
    is_compileable = True

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view, self.buffers, self.filled = view, list[torch.Tensor](), False

    def get_seq_length(self) -> int:
        """Return the number of columns in view; new ones count once they are written."""
        return self._view.end - self._view.begin if self.filled else self._view.past

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """Write the new columns, and return all keys and values in view."""
        view, new = self._view, (key_states, value_states)
        if not self.buffers:
            self.lazy_initialization(key_states, value_states)
            # Zeros, because uninitialised memory may hold NaN, and 0 times NaN is NaN.
            self.buffers = [s.new_zeros(view.size[0], s.shape[1], view.size[1], s.shape[3]) for s in new]
        for buffer, states in zip(self.buffers, new, strict=True):
            target = buffer[view.slots, :, view.end - states.shape[2] : view.end]
            if view.write_mask is None:
                target.copy_(states)
            else:
                own = view.write_mask.to(target.device)  # layers may be on several devices
                target.copy_(torch.where(own[:, None, :, None], states, target))
        self.keys, self.values = (buffer[view.slots, :, view.begin : view.end] for buffer in self.buffers)
        self.filled = True
        return self.keys, self.values


class SlotCache:
    """The cache of a model with this many layers. The row in slot i begins at column `starts[i]`; all rows end before
    column `end`.

    `consistent` is false while rows are being moved: if that fails, the cache is unusable.
    """

    def __init__(self, layers: int) -> None:
        self._view = View()
        self._layers = [SlotLayer(self._view) for _ in range(layers)]
        self.states: Any = Cache(layers=list(self._layers))
        self.drop()

    def drop(self) -> None:
        """Free all memory."""
        self.starts, self.end, self.consistent, self._view.size = list[int](), 0, True, (0, 0)
        for layer in self._layers:
            layer.buffers, layer.keys, layer.values = [], None, None

    def reserve(self, rows: int, width: int, slots: int) -> None:
        """Make room for this many rows, including a new row of `width` tokens, and for one more column.

        Memory is allocated for `slots` rows at once, so that later rows need no new allocation.
        """
        have, columns = self._view.size
        if rows <= have and width <= self.end < columns:
            return
        begin = min(self.starts, default=self.end)
        end = max(self.end - begin, width)
        columns = columns if end + SPARE_COLUMNS // 2 <= columns else end + SPARE_COLUMNS
        self._relocate(have if rows <= have else max(rows, slots), columns, begin, end)

    @property
    def slots(self) -> int:
        """The number of rows that memory is allocated for."""
        return self._view.size[0]

    def shrink(self, slots: int) -> None:
        """Free the memory of the slots from `slots` on, which must be empty."""
        if slots < self.slots:
            self._relocate(slots, self._view.size[1], min(self.starts), self.end)

    def view(self, first: int, last: int, begin: int, end: int, past: int, own: torch.Tensor | None = None) -> Any:
        """Return the cache for a forward pass of the rows in slots `first` to `last`."""
        view = self._view
        view.slots, view.begin, view.end, view.past, view.write_mask = slice(first, last), begin, end, past, own
        for layer in self._layers:
            layer.filled = False
        return self.states

    def copy(self, source: int, slot: int, start: int, tokens: int) -> None:
        """Copy the first tokens of the row in slot `source` to another slot, beginning at column `start`."""
        begin = self.starts[source]
        for buffer in (buffer for layer in self._layers for buffer in layer.buffers):
            piece = buffer[source, :, begin : begin + tokens]
            buffer[slot, :, start : start + tokens] = piece.clone() if source == slot else piece

    def clear(self, slot: int) -> None:
        """Zero a slot: a NaN left in it would make later rows NaN, even with an attention weight of 0."""
        for buffer in (buffer for layer in self._layers for buffer in layer.buffers):
            buffer[slot] = 0

    def remove(self, slot: int) -> None:
        """Remove the row in a slot; the last row moves into it."""
        last = len(self.starts) - 1
        if slot < last:
            self.consistent, begin = False, self.starts[last]
            for buffer in (buffer for layer in self._layers for buffer in layer.buffers):
                buffer[slot, :, begin : self.end] = buffer[last, :, begin : self.end]
            self.starts[slot], self.consistent = begin, True
        self.starts.pop()

    def _relocate(self, slots: int, columns: int, begin: int, end: int) -> None:
        self.consistent, rows, shift = False, len(self.starts), end - self.end
        for layer in self._layers:
            layer.keys = layer.values = None  # these views would keep the old tensors alive
            for at, old in enumerate(layer.buffers):
                held, buffer = old[:rows, :, begin : self.end], old
                if (old.shape[0], old.shape[2]) == (slots, columns):
                    held = held.clone()
                else:
                    layer.buffers[at] = buffer = old.new_zeros(slots, old.shape[1], columns, old.shape[3])
                buffer[:rows, :, begin + shift : end] = held
        self.starts = [start + shift for start in self.starts]
        self.end, self._view.size, self.consistent = end, (slots, columns), True
