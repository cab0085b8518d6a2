"""Continuous batching over an ordinary left-padded key-value cache: a row that ends is replaced by a new one
immediately.

The prefix that a new prompt shares with an active row is copied from the cache. This module schedules rows;
slot_model.py holds the tensors.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from self_instruct.engines.local.active_request import ActiveRequest, EndRules, free_memory, out_of_memory
from self_instruct.engines.local.prefill import Held, schedule_prefill
from self_instruct.engines.local.slot_model import Drawn, SlotModel

# On a CPU the cost of a pass grows with its tokens, so rows are admitted as soon as a slot is free. On an accelerator
# kernel launches dominate, and several prompts cost hardly more than one.
CPU_ADMIT_SHARE, CPU_READ_TOKENS = 0.0, 128
ADMIT_SHARE, READ_TOKENS = 0.125, 8192


class SlotBackend:
    """Generates at most `limit` rows at a time.

    If memory runs out, the limit is halved, and the youngest rows wait again with the tokens that they have drawn. A
    row that runs out of memory twice although it is alone ends as an error. With a `lag` of one step, the host reads
    the tokens of a step while the next one runs, so that an accelerator never waits for it; a row that has ended then
    draws one token that is discarded.
    """

    def __init__(self, model: Any, rules: EndRules, limit: int, lag: int | None = None) -> None:
        on_cpu = model.device.type == "cpu"
        self.limit = limit
        self._lag = int(not on_cpu) if lag is None else lag
        self._admit_share, self._read_tokens = (
            (CPU_ADMIT_SHARE, CPU_READ_TOKENS) if on_cpu else (ADMIT_SHARE, READ_TOKENS)
        )
        self._model, self._rules = SlotModel(model), rules
        self._rows: list[ActiveRequest] = []
        self._joining: list[ActiveRequest] = []
        self._last_ended: ActiveRequest | None = None
        self._requested_slots = 0
        self._in_flight: deque[tuple[list[ActiveRequest], Drawn]] = deque()
        self._ended: list[ActiveRequest] = []

    @property
    def active(self) -> int:
        """The number of active rows."""
        return len(self._rows)

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """Admit rows into free slots, then draw a token for every row. Return the rows that ended."""
        message = None
        try:
            with torch.inference_mode():
                self._admit(waiting, interrupted)
                if self._rows:
                    self._launch()
                # The next mask of a matcher depends on the token that is being drawn.
                self._collect(on_step, 0 if any(row.matcher for row in self._rows) else self._lag)
                self._evict()
        except RuntimeError as error:
            message = out_of_memory(error)
        if message is not None:  # outside the handler, whose exception keeps the memory in use
            with torch.inference_mode():
                self._recover(waiting, on_step, message)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Do nothing: no resource is held between calls."""

    def _admit(self, waiting: list[ActiveRequest], interrupted: Callable[[], bool]) -> None:
        free = self.limit - len(self._rows)
        if not waiting or (self._rows and free < max(1, self.limit * self._admit_share)):
            return
        waiting.sort(key=lambda row: row.request.index)
        while waiting and len(self._rows) < self.limit and not interrupted():
            candidates = waiting[: self.limit - len(self._rows)]
            # A row that ran out of memory before has the device to itself.
            retried = [at for at, row in enumerate([*self._rows, *candidates]) if row.failures]
            if retried:
                candidates = (
                    candidates[: max(retried[0], 1) - len(self._rows)] if retried[0] >= len(self._rows) else []
                )
            if not candidates:
                return
            self._read(waiting, candidates)

    def _read(self, waiting: list[ActiveRequest], candidates: list[ActiveRequest]) -> None:
        """Admit as many of the candidates as are prefilled in one pass."""
        cache, rows = self._model.cache, len(self._rows)
        texts = [row.prompt + row.tokens for row in candidates]
        sources = self._rows or ([self._last_ended] if self._last_ended else [])
        held = [Held(at, row.prompt, cache.end - cache.starts[at]) for at, row in enumerate(sources)]
        readings = schedule_prefill(texts, held, self._read_tokens)
        self._joining = [candidates[reading.index] for reading in readings]
        for row in self._joining:
            waiting.remove(row)
        slots = 1 if candidates[0].failures else min(self.limit, rows + len(self._joining) + len(waiting))
        self._requested_slots = slots if cache.slots < rows + len(readings) else 0
        samplings = [row.sampling for row in self._joining]
        self._model.read([texts[reading.index] for reading in readings], samplings, readings, rows, slots)
        self._rows += self._joining
        self._joining, self._last_ended, self._requested_slots = [], None, 0

    def _launch(self) -> None:
        rows = list(self._rows)
        uniform = [row.generator.random() for row in rows]
        matchers = [row.matcher if row.reason is None else None for row in rows]
        self._in_flight.append((rows, self._model.launch(uniform, [row.sampling for row in rows], matchers)))

    def _collect(self, on_step: Callable[[int], None], lag: int) -> None:
        """Give rows the tokens of all steps except the last `lag`; of all steps if every row has ended."""
        while len(self._in_flight) > (lag if any(row.reason is None for row in self._rows) else 0):
            rows, drawn = self._in_flight.popleft()
            pairs = [(row, token) for row, token in zip(rows, drawn.tokens(), strict=True) if row.reason is None]
            for row, token in pairs:
                row.accept(token, self._rules)
            self._ended += [row for row, _ in pairs if row.reason is not None]
            if pairs:
                on_step(len(pairs))

    def _evict(self) -> None:
        """Remove rows that have ended. The last remaining one stays in the cache, because the next prompts may share
        its prefix.
        """
        for slot in reversed(range(len(self._rows))):
            reason = self._rows[slot].reason
            if reason is not None:
                if len(self._rows) == 1 and reason != "error":
                    self._last_ended = self._rows.pop()
                else:
                    self._remove(slot)

    def _remove(self, slot: int) -> None:
        if self._rows[slot].reason == "error":
            self._model.cache.clear(slot)
        self._model.remove(slot)
        self._rows[slot] = self._rows[-1]
        self._rows.pop()

    def _recover(self, waiting: list[ActiveRequest], on_step: Callable[[int], None], message: str) -> None:
        """Recover after memory ran out: fewer rows continue, and all others are prefilled again when a slot is free."""
        self._collect(on_step, 0)
        joining, self._joining = self._joining, []
        unfinished = [row for row in self._rows if row.reason is None]
        total, self._requested_slots = max(len(self._rows) + len(joining), self._requested_slots), 0
        staying: list[ActiveRequest] = []
        if total == 1:
            self._ended += [row for row in unfinished + joining if row.record_out_of_memory(message)]
        else:
            self.limit = max(1, total // 2)
            if self._model.cache.consistent:
                staying = sorted(unfinished, key=lambda row: row.request.index)[: self.limit]
        staying = self._keep_only(staying)
        back = [row for row in unfinished + joining if row not in staying and row.reason is None]
        for row in staying + back:
            row.rewind()  # the failed step may have used a random number
        waiting[:0] = back
        free_memory()

    def _keep_only(self, staying: list[ActiveRequest]) -> list[ActiveRequest]:
        """Free the cache of all other rows. Return the rows that continue: none if memory runs out even then."""
        del self._model.cache.starts[len(self._rows) :]
        try:
            for slot in reversed(range(len(self._rows))):
                if staying and self._rows[slot] not in staying:
                    self._remove(slot)
            if staying:
                self._model.cache.shrink(self.limit)
        except RuntimeError as error:
            out_of_memory(error)
            staying = []
        if not staying:
            self._rows, self._last_ended = [], None
            self._model.cache.drop()
        return staying
