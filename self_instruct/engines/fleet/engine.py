"""All generating processes as one engine, for the process that composes, decides and writes.

Requests go into a queue from which each process takes its share. One that dies, fails or falls silent ends the generation with
a message that names it; the completions that had arrived by then are returned first. A thread exchanges the messages, so that
the caller never waits inside the store and signals are handled at any time.
"""

import logging
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from self_instruct.engines.base import Completion, EngineLost, Request
from self_instruct.engines.fleet.messages import (
    PATIENCE_SECONDS,
    CarrierLost,
    Link,
    PipeCarrier,
    StoreCarrier,
    TooLarge,
)
from self_instruct.engines.fleet.stats import Stats
from self_instruct.engines.fleet.worker import (
    END_SECONDS,
    HEARTBEAT_SECONDS,
    LISTENING_SECONDS,
    LOADING_SILENCE_SECONDS,
    TICK_SECONDS,
    machine,
    runs,
)
from self_instruct.errors import UserError

SILENCE_SECONDS = 20.0
GRACE_SECONDS = 2.0
"""How long after the end of a process its last messages, or a signal to all processes, may arrive."""
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Worker:
    """The last that is known of a generating process. `rows` is 0 until its model is loaded."""

    rank: int
    heard: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    received: int = 0
    gone_since: float | None = None
    fault: Exception | None = None
    reported: bool = False

    def __str__(self) -> str:
        return f"rank {self.rank}" + (f" ({self.place})" if self.last else "")

    @property
    def place(self) -> str:
        return f"process {self.last['pid']} on {self.last['host']}"

    @property
    def arrived(self) -> bool:
        return bool(self.last)

    @property
    def ended(self) -> bool:
        """Whether it has ended in order, and all that it has sent is here."""
        return self.arrived and self.last["ended"] and self.received >= self.last["sent"]


class Fleet:
    """The engine that the loop sees. All ranks must have loaded `revision`; `connect` opens what carries the messages and may
    wait inside torch; `child` is the generating process of rank 0.
    """

    def __init__(
        self,
        size: int,
        revision: str,
        connect: Callable[[], StoreCarrier | PipeCarrier],
        key: bytes,
        child: BaseProcess,
        on_tokens: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        self.model_revision, self._child, self._on_tokens = revision, child, on_tokens
        self._workers = [_Worker(rank) for rank in range(size)]
        self._pending: set[int] = set()
        self._finished: list[Completion] = []
        self._outgoing: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._incoming: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        self._interrupted = self._gathered = False
        self._stop, self._closed, self._arrived = threading.Event(), threading.Event(), threading.Event()
        self._begun = self._progress = time.monotonic()
        self._exchanged = self._begun + PATIENCE_SECONDS
        self._lost: Exception | None = None
        self._thread = threading.Thread(target=self._exchange, args=(connect, key), daemon=True, name="exchange")
        self._thread.start()

    @property
    def rows(self) -> int:
        """Requests that all processes work on at a time, as far as their models are loaded."""
        return sum(worker.stats.rows for worker in self._workers)

    @property
    def in_flight(self) -> int:
        """Rows that have a request to work on."""
        return min(len(self._pending), self.rows)

    @property
    def stats(self) -> list[Stats]:
        """The last figures of each process."""
        return [worker.stats for worker in self._workers]

    @property
    def method(self) -> str:
        """What draws the tokens, as the first process says that has loaded its model; empty if there was no choice."""
        return next((worker.last["method"] for worker in self._workers if worker.stats.rows), "")

    def wait_until_ready(self) -> None:
        """Return when one model is loaded, or on interruption. Raises UserError or EngineLost if that fails."""
        while not self.rows and not self._interrupted:
            self._receive()
        if self.method:
            _log.info("Engine: %s.", self.method)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests for the process that has room first."""
        for request in requests:
            self._pending.add(request.index)
            self._outgoing.put(request)
        self._progress = time.monotonic()

    def poll(self) -> list[Completion]:
        """Return what has arrived; empty only if nothing is pending or on interruption. Raises EngineLost or UserError."""
        while not self._finished and not self._interrupted and self._pending:
            self._receive()
        if self._interrupted:
            self._gather()
        finished, self._finished = self._finished, []
        return finished

    def interrupt(self) -> None:
        """End the generation. Safe to call from a signal handler."""
        self._interrupted = True

    def close(self, patient: Callable[[], bool] = lambda: False) -> None:
        """End all processes. While `patient` says so, ranks that are still starting are waited for, so that they find out that
        the run is over.
        """
        self._gather()
        while (
            patient()
            and time.monotonic() - self._begun < PATIENCE_SECONDS
            and not all(worker.ended or worker.reported for worker in self._workers)
            and self._lost is None
        ):
            self._drain(0.1)
        self._closed.set()
        self._thread.join(GRACE_SECONDS)
        self._child.join(GRACE_SECONDS)
        self._child.kill()
        self._child.join(GRACE_SECONDS)

    def _receive(self) -> None:
        """Take in what arrives within a moment. Raises EngineLost or UserError for a process that has failed or is lost."""
        self._drain(0.1)
        if self._finished:  # completions are returned before a fault is raised
            return
        now = time.monotonic()
        for worker in self._workers:
            if fault := self._fault_of(worker, now):
                worker.reported = True
                raise fault
        # A process that keeps the store, or the other end of the pipe, may be the one that has died: then name that.
        if self._lost is not None and now - self._exchanged > 2 * GRACE_SECONDS:
            raise self._lost
        if self._lost is None and now - self._exchanged > SILENCE_SECONDS:
            raise EngineLost(f"the launcher's store has not answered for {SILENCE_SECONDS:.0f} seconds")
        if self._pending and now - self._progress > LOADING_SILENCE_SECONDS and self._all_idle():
            raise EngineLost(
                f"{len(self._pending)} requests were lost on the way to the generating processes or back; does another program "
                "use the launcher's store?"
            )

    def _fault_of(self, worker: _Worker, now: float) -> Exception | None:
        """Return why a process cannot work any more, or None."""
        if not worker.arrived and now - self._begun > PATIENCE_SECONDS:
            return EngineLost(f"{worker} has not connected within {PATIENCE_SECONDS:.0f} seconds")
        if worker.fault is not None:
            return worker.fault
        if worker.last.get("ended") or self._has_died(worker):
            worker.gone_since = worker.gone_since or now
            # A signal that ends all processes may reach this one last; then none of them has failed.
            if now - worker.gone_since > GRACE_SECONDS:
                how = "was ended from outside" if worker.last.get("ended") else "has died"
                return EngineLost(f"{worker} {how}")
            return None
        patience = SILENCE_SECONDS if worker.stats.rows else LOADING_SILENCE_SECONDS
        if worker.arrived and now - worker.heard > patience:
            return EngineLost(f"{worker} has sent no heartbeat for {patience:.0f} seconds")
        return None

    def _has_died(self, worker: _Worker) -> bool:
        """Return whether a process is known to have died."""
        if worker.rank == 0 and not self._child.is_alive():
            worker.last = worker.last or {"pid": self._child.pid, "host": socket.gethostname(), "ended": False}
            return True
        return worker.arrived and worker.last.get("machine") == machine() != "" and not runs(worker.last["pid"])

    def _all_idle(self) -> bool:
        return all(worker.stats.rows and not worker.last["pending"] for worker in self._workers)

    def _drain(self, seconds: float) -> None:
        """Take in all that has arrived, waiting a while for the first message."""
        if self._incoming.empty():
            # Not get() with a timeout: in Python 3.11 a signal can make it wait for ever.
            self._arrived.wait(seconds)
        self._arrived.clear()
        while not self._incoming.empty():
            self._take(*self._incoming.get())

    def _take(self, heard: float, message: dict[str, Any]) -> None:
        if message["from"] == "main":  # a request that could not be sent
            self._finish(message["completion"])
            return
        worker = self._workers[int(message["from"])]
        worker.heard, self._progress = heard, max(self._progress, heard if "completion" in message else 0.0)
        if "completion" in message:
            worker.received += 1
            self._finish(message["completion"])
            return
        worker.last, stats = message, Stats(**message["stats"])
        self._on_tokens(stats.tokens - worker.stats.tokens)
        worker.stats = stats
        revision = message["model_revision"] or self.model_revision
        if message["failure"] is not None:
            kind, text = message["failure"]
            worker.fault = _mistake(worker, text) if kind == "mistake" else EngineLost(f"{worker} failed: {text}")
        elif revision != self.model_revision:
            worker.fault = _mistake(
                worker,
                f"has loaded revision {revision} of the model, but rank 0 has {self.model_revision}; all machines must have "
                "the same model",
            )

    def _finish(self, row: dict[str, Any]) -> None:
        if row["request"] in self._pending:
            self._pending.remove(row["request"])
            self._finished.append(Completion(**row))

    def _gather(self) -> None:
        """Ask all processes to end, and wait for the completions that have finished."""
        if self._gathered:
            return
        self._gathered = self._interrupted = True
        self._stop.set()
        deadline = time.monotonic() + END_SECONDS + GRACE_SECONDS
        while time.monotonic() < deadline and self._lost is None and any(map(self._is_awaited, self._workers)):
            self._drain(0.1)
        self._drain(0)
        for worker in self._workers:
            if worker.reported or worker.ended or not worker.arrived:
                continue
            # The launcher, which ends all processes because one has died, may be faster than this one in noticing it.
            worker.reported = True
            how = "has died" if self._has_died(worker) else f"has not ended within {END_SECONDS:.0f} seconds"
            _log.warning("%s", worker.fault or f"{worker} {how}")

    def _is_awaited(self, worker: _Worker) -> bool:
        """Return whether completions of a process, or the message that it has ended, may still arrive."""
        if not worker.arrived or worker.ended:
            return False
        if self._has_died(worker):
            worker.gone_since = worker.gone_since or time.monotonic()
            return time.monotonic() - worker.gone_since < GRACE_SECONDS
        return not (worker.reported and worker.fault is None)

    def _exchange(self, connect: Callable[[], StoreCarrier | PipeCarrier], key: bytes) -> None:
        """Exchange messages until the fleet is closed."""
        try:
            with closing(Link(connect(), "main", key, secrets.token_hex(16))) as link:
                self._converse(link)
        except UserError as error:
            self._exchanged, self._lost = time.monotonic(), error
        except CarrierLost as error:
            self._exchanged = time.monotonic()
            self._lost = EngineLost(f"the connection to the generating processes is gone: {error}")

    def _converse(self, link: Link) -> None:
        beating = listening = 0.0
        stopping, heartbeats = False, [f"alive/{worker.rank}" for worker in self._workers]
        while not self._closed.wait(TICK_SECONDS):
            now = self._exchanged = time.monotonic()
            if now > beating or self._stop.is_set() != stopping:
                beating, stopping = now + HEARTBEAT_SECONDS, self._stop.is_set()
                for worker in self._workers:
                    link.send(f"main/{worker.rank}", {"state": "stop" if stopping else "run"})
            if not stopping:
                self._send_requests(link)
            names = ["completions", *(heartbeats if now > listening else ())]
            listening = now + LISTENING_SECONDS if now > listening else listening
            for name in names:
                while (message := link.receive(name)) is not None:
                    self._incoming.put((time.monotonic(), message))
                    self._arrived.set()

    def _send_requests(self, link: Link) -> None:
        while not self._outgoing.empty():
            request = self._outgoing.get()
            try:
                link.send("requests", {"request": asdict(request)})
            except TooLarge as error:
                refused = Completion(request.index, "", "error", 0, 0, error=str(error))
                self._incoming.put((time.monotonic(), {"from": "main", "completion": asdict(refused)}))
                self._arrived.set()


def _mistake(worker: _Worker, message: str) -> UserError:
    return UserError(f"{worker.place}: {message}", worker.rank) if worker.rank else UserError(message)
