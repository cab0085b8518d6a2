"""Continuous batching by transformers itself: a paged key-value cache, filled by a loop that has a thread of its own.

Worth it with flash attention on an accelerator; without it, attention costs the square of the batch. The loop draws all rows
from one global generator, which is seeded from the first requests: what a request draws depends on its neighbours and on
when they came, so sampled text can be had again only from the journal, not by asking for the request again. Logits that are
no numbers are noticed where tokens are sampled; the likeliest of them is taken as it comes. Knows tokens, not text; whether a
model can be used with it at all is for choice.py to find out.
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

# On a CPU the mask of a step is as large as its tokens times the cache, and neither is bounded by default.
CPU_PAGE_TOKENS = 32
CPU_STEP_TOKENS = 512
CPU_SPARE = 1.25
# Of the accelerator's free memory, for the cache; divided by SHRINK whenever memory was short.
MEMORY_SHARE = 0.8
SHRINK = 1.25
WAIT_SECONDS = 0.1
STOP_SECONDS = 20.0
# So many batches are handed over, so that the loop finds work while completions are being judged.
BATCHES_AHEAD = 2


class _Router(OutputRouter):
    """Takes the loop's outputs, in the loop's thread and after every step, so that a row ends in the step that ends it."""

    def __init__(self, rules: EndRules, cancel: Callable[[str], None]) -> None:
        super().__init__()
        self.rows: dict[str, tuple[ActiveRequest, int]] = {}
        """Rows handed over, by name, each with the number of tokens that it had then."""
        self.begun: set[str] = set()
        """Names of the rows that were under way when the loop died."""
        self.events: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
        """What happened at each step: how many rows drew a token, and the names of those that ended."""
        self._rules, self._cancel = rules, cancel

    def deliver_batch(self, outputs: list[Any]) -> None:
        """Hands the tokens of a step to their rows."""
        drawn = 0
        ended: list[str] = []
        try:
            for output in outputs:
                row, before = self.rows.get(output.request_id, (None, 0))
                # Where steps overlap, a row that was just cancelled draws once more.
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
        """Notes which rows the loop was working on; called for every row when it dies."""
        if state.status != RequestStatus.PENDING:
            self.begun.add(state.request_id)


class PagedBackend:
    """At most `limit` rows at a time. An error in the loop ends all that are under way: when memory is short, they go on with
    half the limit; after any other error each goes on alone. One that does so again alone ends as an error.
    """

    def __init__(self, model: Any, sampling: Sampling, rules: EndRules, limit: int, positions: int | None) -> None:
        self.limit = limit
        self._model, self._sampling, self._rules, self._positions = model, sampling, rules, positions
        self._on_cpu = model.device.type == "cpu"
        self._share, self._starts, self._capacity = MEMORY_SHARE, 0, 0
        self._manager: Any = None
        self._router: _Router | None = None
        self._suspects: list[ActiveRequest] = []
        self._alone: ActiveRequest | None = None
        self._end: Callable[[], Any] = lambda: None
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # what matters is said by us

    @property
    def active(self) -> int:
        """Rows under way, or handed over to the loop."""
        return len(self._suspects) + (len(self._router.rows) if self._router else 0)

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """Hands rows over to the loop, waits a moment for what it draws, and returns the rows that have ended."""
        ended = self._feed(waiting)
        if ended or self._manager is None:
            return ended
        alive = self._manager.is_running()
        ended = self._collect(on_step, WAIT_SECONDS if alive else 0)
        return ended if ended or alive else self._recover(waiting)

    def close(self) -> None:
        """Ends the loop's thread and frees the cache; what is under way is given up."""
        self._end()
        self._manager = self._router = self._alone = None

    def _feed(self, waiting: list[ActiveRequest]) -> list[ActiveRequest]:
        """Hands over as many rows as have room. Returns those that can never be, which would take the others with them."""
        waiting.sort(key=lambda row: row.request.index)
        source, room, refused = waiting, BATCHES_AHEAD * self.limit, []
        if self._suspects or self._alone is not None:
            source, room = self._suspects, 1
        while source and len(self._router.rows if self._router else ()) < room:
            row = source[0]
            try:
                fault = self._fault(row) or self._make_room(row, source[:room])
            except (RuntimeError, MemoryError) as error:
                message = _lack_of_memory(error)
                if message is None:
                    raise
                self.close()
                self._share /= SHRINK
                if self.limit > 1:
                    self.limit //= 2
                    break
                fault = message
            if fault:
                row.fail(fault)
                refused.append(source.pop(0))
            elif not self._hand_over(row):
                break
            else:
                self._alone = row if source is self._suspects else None
                source.pop(0)
        return refused

    def _fault(self, row: ActiveRequest) -> str | None:
        """Why the model cannot read a row, if so: out of the loop, such an error would end all rows.

        Raises `UserError` if its tokens are to be drawn otherwise than all others.
        """
        if replace(row.sampling, max_new_tokens=self._sampling.max_new_tokens) != self._sampling:
            raise UserError(
                f"request {row.request.index} has a sampling of its own, but --engine_backend paged draws all requests alike; "
                "use --engine_backend slots"
            )
        if self._positions is not None and self._length(row) > self._positions:
            return (
                f"prompt and completion need {self._length(row)} tokens, the model has positions for {self._positions}"
            )
        return None

    def _make_room(self, row: ActiveRequest, batch: Sequence[ActiveRequest]) -> str | None:
        """Starts the loop if it is not running, with a cache that holds the row if any can. Returns what speaks against it."""
        if self._manager is None:
            self._start(batch)
        if self._on_cpu and self._length(row) > self._capacity and not self.active - len(self._suspects):
            self.close()
            self._start([row])
        if self._on_cpu or self._length(row) <= self._capacity:
            return None  # on a CPU _hand_over waits until the cache is empty and can be replaced
        return f"prompt and completion need {self._length(row)} tokens, the cache holds {self._capacity}"

    def _hand_over(self, row: ActiveRequest) -> bool:
        """Whether the loop took the row; it does not if it has died, or while its cache is too small."""
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
            settings = replace(settings, max_memory_percent=self._share)
        manager = self._model.init_continuous_batching(
            generation_config=self._drawing(), continuous_batching_config=settings
        )
        # Not a method: what ends the thread when this object is forgotten must not keep it alive.
        self._end = weakref.finalize(self, _stop, manager)
        self._router = manager.output_router = _Router(self._rules, manager.cancel_request)
        manager.warmup()
        # A thread takes from the one that starts it that the interpreter need not wait for it.
        starter = threading.Thread(target=manager.start, daemon=True)
        starter.start()
        starter.join()
        self._manager = manager
        self._capacity = manager.batch_processor.cache.num_blocks * manager.continuous_batching_config.page_size

    def _drawing(self) -> GenerationConfig:
        sampling, ends = self._sampling, sorted(self._rules.end_tokens) or [-1]
        if sampling.temperature == 0:
            return GenerationConfig(do_sample=False, eos_token_id=ends)
        return GenerationConfig(
            do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k,
            min_p=sampling.min_p or None, eos_token_id=ends,
        )  # fmt: skip

    def _collect(self, on_step: Callable[[int], None], seconds: float) -> list[ActiveRequest]:
        """What has ended, after at most so many seconds."""
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
        """After the loop has died: sees to what was under way and lets the rest wait. Returns the rows given up."""
        assert self._router is not None
        rows, begun, alone = dict(self._router.rows), self._router.begun, self._alone
        error = self._manager.background_thread_status.fatal_error or RuntimeError("its thread has ended")
        lack, line = _lack_of_memory(error), _first_line(error)
        error.with_traceback(None)  # its frames hold the cache
        self.close()
        if not rows:
            raise error  # there is nothing that it could be blamed on, and no reason to fare better
        hit = [row for name, (row, _) in rows.items() if name in begun] or [row for row, _ in rows.values()]
        waiting[:0] = [row for row, _ in rows.values() if row not in hit]
        if lack and min(self.limit, len(hit)) > 1:
            self.limit, self._share = min(self.limit, len(hit)) // 2, self._share / SHRINK
            waiting[:0] = hit
            return []
        if len(hit) == 1 and (lack or hit[0] is alone):
            no_numbers = NO_NUMBERS if "probability tensor" in line else None
            hit[0].fail(lack or no_numbers or f"continuous batching failed: {line}")
            return hit
        self._suspects = hit + self._suspects
        return []


def _stop(manager: Any) -> None:
    """Ends the loop at its next step, frees the cache, and gives the model its own attention back."""
    manager.stop(hard_stop=True, timeout=STOP_SECONDS)


def _lack_of_memory(error: Exception) -> str | None:
    """What to say of an error that is a lack of memory; None of any other."""
    if isinstance(error, MemoryError):
        return f"out of memory: {_first_line(error)}"
    try:
        return out_of_memory(error)  # type: ignore[arg-type]
    except type(error):
        return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
