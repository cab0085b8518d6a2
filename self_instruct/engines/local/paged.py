"""Continuous batching by transformers: a paged key-value cache, filled by a loop in its own thread.

It pays off with flash attention on an accelerator; without it, the cost of attention grows with the square of the
batch. The loop draws all rows from one global generator, seeded from the first requests: a request's tokens depend on
its neighbours and on their timing, so sampled text can be reproduced only from the journal, not by repeating the
request. NaN logits are detected when sampling, but not in greedy decoding. backend.py decides whether a model can be
used with it.
"""

import hashlib
import logging
import math
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching import RequestStatus
from transformers.generation.continuous_batching.continuous_api import OutputRouter

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.active_request import ActiveRequest, EndRules, out_of_memory
from self_instruct.engines.local.sampling import NO_NUMBERS
from self_instruct.errors import UserError

# On a CPU the mask of a step has the size of its tokens times the cache, and neither is bounded by default.
CPU_PAGE_TOKENS = 32
CPU_STEP_TOKENS = 512
CPU_SPARE = 1.25
# The cache's share of the accelerator's free memory; divided by SHRINK each time memory runs out.
MEMORY_SHARE = 0.8
SHRINK = 1.25
WAIT_SECONDS = 0.1
STOP_SECONDS = 20.0
# The loop gets this many batches in advance, so that it has work while completions are being decided.
BATCHES_AHEAD = 2


class _Router(OutputRouter):
    """Receives the loop's outputs in the loop's thread after every step, so that a row ends without delay."""

    def __init__(self, rules: EndRules, cancel: Callable[[str], None]) -> None:
        super().__init__()
        self.rows: dict[str, tuple[ActiveRequest, int]] = {}
        """The rows in the loop, by name, each with the number of tokens that it had when it was added."""
        self.in_progress: set[str] = set()
        """Names of the rows that were in progress when the loop died."""
        self.events: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
        """For each step, the number of rows that drew a token, and the names of those that ended."""
        self._rules, self._cancel = rules, cancel

    def deliver_batch(self, outputs: list[Any]) -> None:
        """Give the tokens of a step to their rows."""
        drawn = 0
        ended: list[str] = []
        try:
            for output in outputs:
                row, before = self.rows.get(output.request_id, (None, 0))
                # If steps overlap, a row that was just cancelled draws one more token.
                if row is None or row.reason is not None:
                    continue
                drawn += 1
                row.accept(output.generated_tokens[len(row.tokens) - before], self._rules)
                if row.reason is not None:
                    ended.append(output.request_id)
                    if not output.is_finished():
                        self._cancel(output.request_id)
        finally:
            self.events.put((drawn, ended))

    def fail_and_deliver(self, state: Any, error: Exception) -> None:
        """Record the rows that were active; the loop calls this for every row when it dies."""
        if state.status != RequestStatus.PENDING:
            self.in_progress.add(state.request_id)


class PagedBackend:
    """Generates at most `limit` rows at a time. An error in the loop stops all active rows: if memory ran out, they
    continue with half the limit, after any other error one by one. A row that fails again alone ends as an error.
    """

    def __init__(self, model: Any, sampling: Sampling, rules: EndRules, limit: int, positions: int | None) -> None:
        self.limit = limit
        self._model, self._sampling, self._rules, self._positions = model, sampling, rules, positions
        self._on_cpu = model.device.type == "cpu"
        self._memory_share, self._starts, self._capacity = MEMORY_SHARE, 0, 0
        self._manager: Any = None
        self._router: _Router | None = None
        self._suspects: list[ActiveRequest] = []
        self._alone: ActiveRequest | None = None
        self._finalizer: Callable[[], Any] = lambda: None
        # This module reports the errors itself.
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)

    @property
    def active(self) -> int:
        """The number of rows that the loop holds."""
        return len(self._suspects) + (len(self._router.rows) if self._router else 0)

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """Pass rows to the loop, wait briefly for its tokens, and return the rows that have ended."""
        ended = self._feed(waiting)
        if ended or self._manager is None:
            return ended
        alive = self._manager.is_running()
        ended = self._collect(on_step, WAIT_SECONDS if alive else 0)
        return ended if ended or alive else self._recover(waiting)

    def close(self) -> None:
        """Stop the loop's thread and free the cache; unfinished rows are abandoned."""
        self._finalizer()
        self._manager = self._router = self._alone = None

    def _feed(self, waiting: list[ActiveRequest]) -> list[ActiveRequest]:
        """Pass rows to the loop while it has room. Return rows that can never fit: they would stop the others as well."""
        waiting.sort(key=lambda row: row.request.index)
        source, room, refused = waiting, BATCHES_AHEAD * self.limit, []
        if self._suspects or self._alone is not None:
            source, room = self._suspects, 1
        while source and len(self._router.rows if self._router else ()) < room:
            row = source[0]
            try:
                reason = self._unfit_reason(row) or self._make_room(row, source[:room])
            except (RuntimeError, MemoryError) as error:
                message = _memory_message(error)
                if message is None:
                    raise
                self.close()
                self._memory_share /= SHRINK
                if self.limit > 1:
                    self.limit //= 2
                    break
                reason = message
            if reason:
                row.fail(reason)
                refused.append(source.pop(0))
            elif not self._submit(row):
                break
            else:
                self._alone = row if source is self._suspects else None
                source.pop(0)
        return refused

    def _unfit_reason(self, row: ActiveRequest) -> str | None:
        """Return why the model cannot process a row, or None: in the loop, such an error would stop all rows.

        Raises `UserError` if its sampling differs from that of the other rows.
        """
        if replace(row.sampling, max_new_tokens=self._sampling.max_new_tokens) != self._sampling:
            raise UserError(
                f"request {row.request.index} has its own sampling, but --engine_backend paged uses one sampling for all "
                "requests; use --engine_backend slots"
            )
        if self._positions is not None and self._length(row) > self._positions:
            return (
                f"prompt and completion need {self._length(row)} tokens, the model has positions for {self._positions}"
            )
        return None

    def _make_room(self, row: ActiveRequest, batch: Sequence[ActiveRequest]) -> str | None:
        """Start the loop if it is not running, with a cache that can hold the row if possible. Return why that fails,
        or None.
        """
        if self._manager is None:
            self._start(batch)
        if self._on_cpu and self._length(row) > self._capacity and not self.active - len(self._suspects):
            self.close()
            self._start([row])
        if self._on_cpu or self._length(row) <= self._capacity:
            return None  # on a CPU _submit waits until the cache is empty and can be replaced
        return f"prompt and completion need {self._length(row)} tokens, the cache holds {self._capacity}"

    def _submit(self, row: ActiveRequest) -> bool:
        """Return whether the loop accepted the row; it does not if it has died, or while its cache is too small."""
        assert self._router is not None
        if self._length(row) > self._capacity:
            return False
        name, before = str(row.request.index), len(row.tokens)
        self._router.rows[name] = row, before
        taken = self._manager.add_request(
            row.prompt + row.tokens,
            request_id=name,
            max_new_tokens=row.sampling.max_new_tokens - before,
            streaming=True,
        )
        if taken is None:
            del self._router.rows[name]
        return taken is not None

    def _length(self, row: ActiveRequest) -> int:
        return len(row.prompt) + row.sampling.max_new_tokens

    def _start(self, rows: Sequence[ActiveRequest]) -> None:
        seeds = " ".join([str(self._starts), *(row.request.seed for row in rows)])
        self._starts += 1
        pages = math.ceil(self.limit * max(map(self._length, rows)) * CPU_SPARE / CPU_PAGE_TOKENS)
        settings = ContinuousBatchingConfig(
            max_requests_per_batch=self.limit, auto_switch_to_flash=False, disable_nccl_graph_mixing=False,
            seed=int.from_bytes(hashlib.sha256(seeds.encode()).digest()[:4]),
        )  # fmt: skip
        if self._on_cpu:
            step = max(CPU_STEP_TOKENS, self.limit)
            settings = replace(settings, page_size=CPU_PAGE_TOKENS, num_blocks=pages, max_batch_tokens=step)
        else:
            settings = replace(settings, max_memory_percent=self._memory_share)
        manager = self._model.init_continuous_batching(
            generation_config=self._generation_config(), continuous_batching_config=settings
        )
        # Not a method: the finalizer that stops the thread must not keep this object alive.
        self._finalizer = weakref.finalize(self, _stop, manager)
        self._router = manager.output_router = _Router(self._rules, manager.cancel_request)
        manager.warmup()
        # The loop's thread becomes a daemon because its parent is one, so the interpreter does not wait for it at exit.
        starter = threading.Thread(target=manager.start, daemon=True)
        starter.start()
        starter.join()
        self._manager = manager
        self._capacity = manager.batch_processor.cache.num_blocks * manager.continuous_batching_config.page_size

    def _generation_config(self) -> GenerationConfig:
        sampling, ends = self._sampling, sorted(self._rules.end_tokens) or [-1]
        if sampling.temperature == 0:
            return GenerationConfig(do_sample=False, eos_token_id=ends)
        return GenerationConfig(
            do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k,
            min_p=sampling.min_p or None, eos_token_id=ends,
        )  # fmt: skip

    def _collect(self, on_step: Callable[[int], None], seconds: float) -> list[ActiveRequest]:
        """Return the rows that have ended, after waiting at most this many seconds."""
        assert self._router is not None
        ended: list[ActiveRequest] = []
        try:
            drawn, names = self._router.events.get(timeout=seconds)
            while True:
                ended += [self._router.rows.pop(name)[0] for name in names]
                on_step(drawn)
                drawn, names = self._router.events.get_nowait()
        except queue.Empty:
            pass
        if self._alone in ended:
            self._alone = None
        return ended

    def _recover(self, waiting: list[ActiveRequest]) -> list[ActiveRequest]:
        """Recover after the loop has died: queue its rows again. Return the rows that are given up."""
        assert self._router is not None
        rows, in_progress, alone = dict(self._router.rows), self._router.in_progress, self._alone
        error = self._manager.background_thread_status.fatal_error or RuntimeError("its thread has ended")
        lack, line = _memory_message(error), _first_line(error)
        error.with_traceback(None)  # its traceback keeps the cache alive
        self.close()
        if not rows:
            raise error  # no row can be the cause, so a second try would fail again
        affected = [row for name, (row, _) in rows.items() if name in in_progress] or [row for row, _ in rows.values()]
        waiting[:0] = [row for row, _ in rows.values() if row not in affected]
        if lack and min(self.limit, len(affected)) > 1:
            self.limit, self._memory_share = min(self.limit, len(affected)) // 2, self._memory_share / SHRINK
            waiting[:0] = affected
            return []
        if len(affected) == 1 and (lack or affected[0] is alone):
            no_numbers = NO_NUMBERS if "probability tensor" in line else None
            affected[0].fail(lack or no_numbers or f"continuous batching failed: {line}")
            return affected
        self._suspects = affected + self._suspects
        return []


def _stop(manager: Any) -> None:
    """Stop the loop at its next step, free the cache, and restore the model's own attention."""
    manager.stop(hard_stop=True, timeout=STOP_SECONDS)


def _memory_message(error: Exception) -> str | None:
    """Return the message for an out-of-memory error, or None for any other error."""
    if isinstance(error, MemoryError):
        return f"out of memory: {_first_line(error)}"
    try:
        return out_of_memory(error)  # type: ignore[arg-type]
    except type(error):
        return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
