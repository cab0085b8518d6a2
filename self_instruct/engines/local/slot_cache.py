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

    If `own` [rows, new columns] is given, new columns are written only where it is true.
    """

    slots, begin, end, past = slice(0, 0), 0, 0, 0
    own: torch.Tensor | None = None
    room = (0, 0)


class SlotLayer(DynamicLayer):
    """Keys and values [slots, heads, columns, size] of a layer, limited to the view."""

    # Makes transformers always build the mask: checking whether it masks anything would wait for the accelerator.
    is_compileable = True

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view, self.rooms, self.filled = view, list[torch.Tensor](), False

    def get_seq_length(self) -> int:
        """Return the number of columns in view; new ones count once they are written."""
        return self._view.end - self._view.begin if self.filled else self._view.past

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """Write the new columns, and return all keys and values in view."""
        view, new = self._view, (key_states, value_states)
        if not self.rooms:
            self.lazy_initialization(key_states, value_states)
            # Zeros, because uninitialised memory may hold NaN, and 0 times NaN is NaN.
            self.rooms = [s.new_zeros(view.room[0], s.shape[1], view.room[1], s.shape[3]) for s in new]
        for room, states in zip(self.rooms, new, strict=True):
            target = room[view.slots, :, view.end - states.shape[2] : view.end]
            if view.own is None:
                target.copy_(states)
            else:
                own = view.own.to(target.device)  # layers may be on several devices
                target.copy_(torch.where(own[:, None, :, None], states, target))
        self.keys, self.values = (room[view.slots, :, view.begin : view.end] for room in self.rooms)
        self.filled = True
        return self.keys, self.values


class SlotCache:
    """The cache of a model with this many layers. The row in slot i begins at column `starts[i]`; all rows end before
    column `end`.

    `whole` is false while rows are being moved: after an error the cache is then unusable.
    """

    def __init__(self, layers: int) -> None:
        self._view = View()
        self._layers = [SlotLayer(self._view) for _ in range(layers)]
        self.states: Any = Cache(layers=list(self._layers))
        self.drop()

    def drop(self) -> None:
        """Free all memory."""
        self.starts, self.end, self.whole, self._view.room = list[int](), 0, True, (0, 0)
        for layer in self._layers:
            layer.rooms, layer.keys, layer.values = [], None, None

    def reserve(self, rows: int, width: int, slots: int) -> None:
        """Make room for this many rows, including a new row of `width` tokens, and for one more column.

        Memory is allocated for `slots` rows at once, so that later rows need no new allocation.
        """
        have, columns = self._view.room
        if rows <= have and width <= self.end < columns:
            return
        begin = min(self.starts, default=self.end)
        end = max(self.end - begin, width)
        columns = columns if end + SPARE_COLUMNS // 2 <= columns else end + SPARE_COLUMNS
        self._relocate(have if rows <= have else max(rows, slots), columns, begin, end)

    @property
    def slots(self) -> int:
        """The number of rows that memory is allocated for."""
        return self._view.room[0]

    def shrink(self, slots: int) -> None:
        """Free the memory of the slots from `slots` on, which must be empty."""
        if slots < self.slots:
            self._relocate(slots, self._view.room[1], min(self.starts), self.end)

    def view(self, first: int, last: int, begin: int, end: int, past: int, own: torch.Tensor | None = None) -> Any:
        """Return the cache for a forward pass of the rows in slots `first` to `last`."""
        view = self._view
        view.slots, view.begin, view.end, view.past, view.own = slice(first, last), begin, end, past, own
        for layer in self._layers:
            layer.filled = False
        return self.states

    def copy(self, source: int, place: int, start: int, tokens: int) -> None:
        """Copy the first tokens of the row in slot `source` to another slot, beginning at column `start`."""
        begin = self.starts[source]
        for room in (room for layer in self._layers for room in layer.rooms):
            piece = room[source, :, begin : begin + tokens]
            room[place, :, start : start + tokens] = piece.clone() if source == place else piece

    def clear(self, place: int) -> None:
        """Zero a slot: a NaN left in it would spoil later rows even with an attention weight of 0."""
        for room in (room for layer in self._layers for room in layer.rooms):
            room[place] = 0

    def remove(self, place: int) -> None:
        """Remove the row in a slot; the last row moves into it."""
        last = len(self.starts) - 1
        if place < last:
            self.whole, begin = False, self.starts[last]
            for room in (room for layer in self._layers for room in layer.rooms):
                room[place, :, begin : self.end] = room[last, :, begin : self.end]
            self.starts[place], self.whole = begin, True
        self.starts.pop()

    def _relocate(self, slots: int, columns: int, begin: int, end: int) -> None:
        self.whole, rows, shift = False, len(self.starts), end - self.end
        for layer in self._layers:
            layer.keys = layer.values = None  # these views would keep the old tensors alive
            for at, old in enumerate(layer.rooms):
                held, room = old[:rows, :, begin : self.end], old
                if (old.shape[0], old.shape[2]) == (slots, columns):
                    held = held.clone()
                else:
                    layer.rooms[at] = room = old.new_zeros(slots, old.shape[1], columns, old.shape[3])
                room[:rows, :, begin + shift : end] = held
        self.starts = [start + shift for start in self.starts]
        self.end, self._view.room, self.whole = end, (slots, columns), True
