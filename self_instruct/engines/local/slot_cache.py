"""Keys and values of many rows in one tensor a layer, written in place: what each row holds ends at the same column.

A row that enters is written to the left of the common end; one that leaves is overwritten by the last one. Nobody else is
copied, but for a shift of all once the columns are used up. Knows places and columns, not requests.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

SPARE_COLUMNS = 128


class View:
    """What a forward pass reads and writes: the rows at `places`, columns `begin` to `end`, of which `past` are held already.

    Of the new columns only those are written where `own` [rows, new columns] is true, if it is given.
    """

    places, begin, end, past = slice(0, 0), 0, 0, 0
    own: torch.Tensor | None = None
    room = (0, 0)


class SlotLayer(DynamicLayer):
    """Keys and values [places, heads, columns, size] of a layer, of which a forward pass sees what the view says."""

    # Keeps transformers from leaving out a mask that masks nothing: to find that out it would wait for the accelerator.
    is_compileable = True

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view, self.rooms, self.filled = view, list[torch.Tensor](), False

    def get_seq_length(self) -> int:
        """Columns in view, without the new ones until they are written."""
        return self._view.end - self._view.begin if self.filled else self._view.past

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """Writes the new columns and returns all keys and values in view."""
        view, new = self._view, (key_states, value_states)
        if not self.rooms:
            self.lazy_initialization(key_states, value_states)
            # Zeros, because a weight of 0 times what memory happens to hold need not be 0.
            self.rooms = [s.new_zeros(view.room[0], s.shape[1], view.room[1], s.shape[3]) for s in new]
        for room, states in zip(self.rooms, new, strict=True):
            target = room[view.places, :, view.end - states.shape[2] : view.end]
            if view.own is None:
                target.copy_(states)
            else:
                own = view.own.to(target.device)  # layers may be on several devices
                target.copy_(torch.where(own[:, None, :, None], states, target))
        self.keys, self.values = (room[view.places, :, view.begin : view.end] for room in self.rooms)
        self.filled = True
        return self.keys, self.values


class SlotCache:
    """The cache of a model with that many layers. The row at place i begins at column `starts[i]`; all end before `end`.

    `whole` is false while rows are being moved: an error then leaves nothing of use.
    """

    def __init__(self, layers: int) -> None:
        self._view = View()
        self._layers = [SlotLayer(self._view) for _ in range(layers)]
        self.states: Any = Cache(layers=list(self._layers))
        self.drop()

    def drop(self) -> None:
        """Lets go of everything."""
        self.starts, self.end, self.whole, self._view.room = list[int](), 0, True, (0, 0)
        for layer in self._layers:
            layer.rooms, layer.keys, layer.values = [], None, None

    def reserve(self, rows: int, width: int, places: int) -> None:
        """Makes room for so many rows, a new one among them `width` tokens wide, and for one more column.

        Memory is for `places` rows from the start, so that it need not be found again when they come.
        """
        have, columns = self._view.room
        if rows <= have and width <= self.end < columns:
            return
        begin = min(self.starts, default=self.end)
        end = max(self.end - begin, width)
        columns = columns if end + SPARE_COLUMNS // 2 <= columns else end + SPARE_COLUMNS
        self._relocate(have if rows <= have else max(rows, places), columns, begin, end)

    @property
    def places(self) -> int:
        """Rows that there is memory for."""
        return self._view.room[0]

    def shrink(self, places: int) -> None:
        """Frees the memory of further places, which must be empty."""
        if places < self.places:
            self._relocate(places, self._view.room[1], min(self.starts), self.end)

    def view(self, first: int, last: int, begin: int, end: int, past: int, own: torch.Tensor | None = None) -> Any:
        """The cache for a forward pass of the rows at places `first` to `last`."""
        view = self._view
        view.places, view.begin, view.end, view.past, view.own = slice(first, last), begin, end, past, own
        for layer in self._layers:
            layer.filled = False
        return self.states

    def copy(self, source: int, place: int, start: int, tokens: int) -> None:
        """Copies the first tokens of the row at `source` into a place, to begin at column `start` there."""
        begin = self.starts[source]
        for room in (room for layer in self._layers for room in layer.rooms):
            piece = room[source, :, begin : begin + tokens]
            room[place, :, start : start + tokens] = piece.clone() if source == place else piece

    def clear(self, place: int) -> None:
        """Forgets what a place holds: a weight of 0 does not keep what is no number out of others' sums."""
        for room in (room for layer in self._layers for room in layer.rooms):
            room[place] = 0

    def remove(self, place: int) -> None:
        """Lets the row at a place go; the last one takes it."""
        last = len(self.starts) - 1
        if place < last:
            self.whole, begin = False, self.starts[last]
            for room in (room for layer in self._layers for room in layer.rooms):
                room[place, :, begin : self.end] = room[last, :, begin : self.end]
            self.starts[place], self.whole = begin, True
        self.starts.pop()

    def _relocate(self, places: int, columns: int, begin: int, end: int) -> None:
        self.whole, rows, shift = False, len(self.starts), end - self.end
        for layer in self._layers:
            layer.keys = layer.values = None  # they would keep the old tensors alive
            for at, old in enumerate(layer.rooms):
                held, room = old[:rows, :, begin : self.end], old
                if (old.shape[0], old.shape[2]) == (places, columns):
                    held = held.clone()
                else:
                    layer.rooms[at] = room = old.new_zeros(places, old.shape[1], columns, old.shape[3])
                room[:rows, :, begin + shift : end] = held
        self.starts = [start + shift for start in self.starts]
        self.end, self._view.room, self.whole = end, (places, columns), True
