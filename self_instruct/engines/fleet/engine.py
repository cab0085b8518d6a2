"""All generating processes as one engine, for the process that composes, decides and writes.

Requests go into a queue from which each process takes its share. If a process dies, fails or sends no more heartbeats, the
generation ends with a message that names it, after the completions that have arrived are returned. A thread exchanges the
messages, so that the caller never waits inside the store and signals are handled at any time.
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
    is_running,
    machine_id,
)
from self_instruct.errors import UserError

SILENCE_SECONDS = 20.0
GRACE_SECONDS = 2.0
"""How long to wait, after a process has ended, for its last messages or for a signal that was sent to all processes."""
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Worker:
    """What rank 0 knows of a generating process: its last heartbeat and when its last message arrived (`heard_at`).

    `stats.rows` is 0 until its model is loaded.
    """

    rank: int
    heard_at: float = 0.0
    heartbeat: dict[str, Any] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    received: int = 0
    gone_since: float | None = None
    fault: Exception | None = None
    reported: bool = False

    def __str__(self) -> str:
        return f"rank {self.rank}" + (f" ({self.location})" if self.heartbeat else "")

    @property
    def location(self) -> str:
        return f"process {self.heartbeat['pid']} on {self.heartbeat['host']}"

    @property
    def connected(self) -> bool:
        return bool(self.heartbeat)

    @property
    def ended(self) -> bool:
        """Whether it has ended normally, and everything that it sent has arrived."""
        return self.connected and self.heartbeat["ended"] and self.received >= self.heartbeat["sent"]


class Fleet:
    """The generating processes as one engine. Every rank must have loaded `revision` of the model.

    `connect` opens the carrier of the messages and may wait inside torch; `child` is the generating process of rank 0.
    `on_tokens` is called with the number of new tokens.
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
        self._interrupted = self._workers_stopped = False
        self._stop, self._closed, self._message_arrived = threading.Event(), threading.Event(), threading.Event()
        self._started = self._last_progress = time.monotonic()
        self._last_exchange = self._started + PATIENCE_SECONDS
        self._connection_error: Exception | None = None
        self._thread = threading.Thread(target=self._exchange, args=(connect, key), daemon=True, name="exchange")
        self._thread.start()

    @property
    def rows(self) -> int:
        """The number of requests that the processes whose models are loaded can work on at a time."""
        return sum(worker.stats.rows for worker in self._workers)

    @property
    def in_flight(self) -> int:
        """The number of rows that have a request to work on."""
        return min(len(self._pending), self.rows)

    @property
    def stats(self) -> list[Stats]:
        """The latest measurements of each process."""
        return [worker.stats for worker in self._workers]

    @property
    def method(self) -> str:
        """The method of the first process that has loaded its model; empty if there was no choice."""
        return next((worker.heartbeat["method"] for worker in self._workers if worker.stats.rows), "")

    def wait_until_ready(self) -> None:
        """Wait until one process has loaded its model, or until `interrupt`. Raises UserError or EngineLost if one fails."""
        while not self.rows and not self._interrupted:
            self._receive()
        if self.method:
            _log.info("Engine: %s.", self.method)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests; each goes to the first process that has room for it."""
        for request in requests:
            self._pending.add(request.index)
            self._outgoing.put(request)
        self._last_progress = time.monotonic()

    def poll(self) -> list[Completion]:
        """Return the completions that have arrived: none only if nothing is pending or on interruption.

        Raises EngineLost or UserError if a process has failed or is lost.
        """
        while not self._finished and not self._interrupted and self._pending:
            self._receive()
        if self._interrupted:
            self._stop_workers()
        finished, self._finished = self._finished, []
        return finished

    def interrupt(self) -> None:
        """End the generation. Safe to call from a signal handler."""
        self._interrupted = True

    def close(self, patient: Callable[[], bool] = lambda: False) -> None:
        """End all processes. While `patient` returns true, wait for ranks that are still starting, so that they learn that the
        run is over.
        """
        self._stop_workers()
        while (
            patient()
            and time.monotonic() - self._started < PATIENCE_SECONDS
            and not all(worker.ended or worker.reported for worker in self._workers)
            and self._connection_error is None
        ):
            self._drain(0.1)
        self._closed.set()
        self._thread.join(GRACE_SECONDS)
        self._child.join(GRACE_SECONDS)
        self._child.kill()
        self._child.join(GRACE_SECONDS)

    def _receive(self) -> None:
        """Handle the messages of the next 0.1 s. Raises EngineLost or UserError for a process that has failed or is lost."""
        self._drain(0.1)
        if self._finished:  # completions are returned before a fault is raised
            return
        now = time.monotonic()
        for worker in self._workers:
            if fault := self._fault_of(worker, now):
                worker.reported = True
                raise fault
        # The process that hosts the store, or the other end of the pipe, may have died: give `_fault_of` time to name it.
        if self._connection_error is not None and now - self._last_exchange > 2 * GRACE_SECONDS:
            raise self._connection_error
        if self._connection_error is None and now - self._last_exchange > SILENCE_SECONDS:
            raise EngineLost(f"the launcher's store has not answered for {SILENCE_SECONDS:.0f} seconds")
        if self._pending and now - self._last_progress > LOADING_SILENCE_SECONDS and self._all_idle():
            raise EngineLost(
                f"{len(self._pending)} requests were lost on the way to the generating processes or back; does another program "
                "use the launcher's store?"
            )

    def _fault_of(self, worker: _Worker, now: float) -> Exception | None:
        """Return why a process cannot work any more, or None."""
        if not worker.connected and now - self._started > PATIENCE_SECONDS:
            return EngineLost(f"{worker} has not connected within {PATIENCE_SECONDS:.0f} seconds")
        if worker.fault is not None:
            return worker.fault
        if worker.heartbeat.get("ended") or self._has_died(worker):
            worker.gone_since = worker.gone_since or now
            # A signal that ends all processes may reach this one last; then none of them has failed.
            if now - worker.gone_since > GRACE_SECONDS:
                how = "was ended from outside" if worker.heartbeat.get("ended") else "has died"
                return EngineLost(f"{worker} {how}")
            return None
        patience = SILENCE_SECONDS if worker.stats.rows else LOADING_SILENCE_SECONDS
        if worker.connected and now - worker.heard_at > patience:
            return EngineLost(f"{worker} has sent no heartbeat for {patience:.0f} seconds")
        return None

    def _has_died(self, worker: _Worker) -> bool:
        """Return whether a process is known to have died."""
        if worker.rank == 0 and not self._child.is_alive():
            worker.heartbeat = worker.heartbeat or {
                "pid": self._child.pid,
                "host": socket.gethostname(),
                "ended": False,
            }
            return True
        on_this_machine = worker.connected and worker.heartbeat.get("machine") == machine_id() != ""
        return on_this_machine and not is_running(worker.heartbeat["pid"])

    def _all_idle(self) -> bool:
        return all(worker.stats.rows and not worker.heartbeat["pending"] for worker in self._workers)

    def _drain(self, seconds: float) -> None:
        """Handle all messages that have arrived; wait up to `seconds` for the first."""
        if self._incoming.empty():
            # Not get() with a timeout: in Python 3.11 a signal can make it wait forever.
            self._message_arrived.wait(seconds)
        self._message_arrived.clear()
        while not self._incoming.empty():
            self._handle(*self._incoming.get())

    def _handle(self, heard: float, message: dict[str, Any]) -> None:
        if message["from"] == "main":  # a request that could not be sent
            self._finish(message["completion"])
            return
        worker = self._workers[int(message["from"])]
        worker.heard_at = heard
        if "completion" in message:
            self._last_progress = max(self._last_progress, heard)
            worker.received += 1
            self._finish(message["completion"])
            return
        worker.heartbeat, stats = message, Stats(**message["stats"])
        if stats.rows and not worker.stats.rows:  # it takes requests from now on, however long the model took to load
            self._last_progress = max(self._last_progress, heard)
        self._on_tokens(stats.tokens - worker.stats.tokens)
        worker.stats = stats
        revision = message["model_revision"] or self.model_revision
        if message["failure"] is not None:
            kind, text = message["failure"]
            worker.fault = _user_error(worker, text) if kind == "mistake" else EngineLost(f"{worker} failed: {text}")
        elif revision != self.model_revision:
            worker.fault = _user_error(
                worker,
                f"has loaded revision {revision} of the model, but rank 0 has {self.model_revision}; all machines must have "
                "the same model",
            )

    def _finish(self, row: dict[str, Any]) -> None:
        if row["request"] in self._pending:
            self._pending.remove(row["request"])
            self._finished.append(Completion(**row))

    def _stop_workers(self) -> None:
        """Ask all processes to end, and wait for the completions that have finished."""
        if self._workers_stopped:
            return
        self._workers_stopped = self._interrupted = True
        self._stop.set()
        self._drain(0)  # messages may have arrived while rank 0 was busy: they say which processes to wait for
        deadline = time.monotonic() + END_SECONDS + GRACE_SECONDS
        while (
            time.monotonic() < deadline
            and self._connection_error is None
            and any(map(self._may_still_send, self._workers))
        ):
            self._drain(0.1)
        self._drain(0)
        for worker in self._workers:
            if worker.reported or worker.ended or not worker.connected or self._only_loads(worker):
                continue
            # The launcher may have noticed the death of a process first and ended all others: still name the one that died.
            worker.reported = True
            how = "has died" if self._has_died(worker) else f"has not ended within {END_SECONDS:.0f} seconds"
            _log.warning("%s", worker.fault or f"{worker} {how}")

    def _only_loads(self, worker: _Worker) -> bool:
        """Return whether a process is the only one and still loads its model: it has nothing to send, and is killed at once."""
        alone = len(self._workers) == 1 and not self._has_died(worker)
        return alone and not worker.stats.rows and worker.fault is None

    def _may_still_send(self, worker: _Worker) -> bool:
        """Return whether completions of a process, or the message that it has ended, may still arrive."""
        if not worker.connected or worker.ended or self._only_loads(worker):
            return False
        if self._has_died(worker):
            worker.gone_since = worker.gone_since or time.monotonic()
            return time.monotonic() - worker.gone_since < GRACE_SECONDS
        return not (worker.reported and worker.fault is None)

    def _exchange(self, connect: Callable[[], StoreCarrier | PipeCarrier], key: bytes) -> None:
        """Exchange messages until the fleet is closed."""
        try:
            with closing(Link(connect(), "main", key, secrets.token_hex(16))) as link:
                self._exchange_until_closed(link)
        except UserError as error:
            self._last_exchange, self._connection_error = time.monotonic(), error
        except CarrierLost as error:
            self._last_exchange = time.monotonic()
            self._connection_error = EngineLost(f"the connection to the generating processes is gone: {error}")

    def _exchange_until_closed(self, link: Link) -> None:
        next_heartbeat = next_reading = 0.0
        stopping, heartbeats = False, [f"alive/{worker.rank}" for worker in self._workers]
        while not self._closed.wait(TICK_SECONDS):
            now = self._last_exchange = time.monotonic()
            if now > next_heartbeat or self._stop.is_set() != stopping:
                next_heartbeat, stopping = now + HEARTBEAT_SECONDS, self._stop.is_set()
                for worker in self._workers:
                    link.send(f"main/{worker.rank}", {"state": "stop" if stopping else "run"})
            if not stopping:
                self._send_requests(link)
            names = ["completions", *(heartbeats if now > next_reading else ())]
            next_reading = now + LISTENING_SECONDS if now > next_reading else next_reading
            for name in names:
                while (message := link.receive(name)) is not None:
                    self._incoming.put((time.monotonic(), message))
                    self._message_arrived.set()

    def _send_requests(self, link: Link) -> None:
        while not self._outgoing.empty():
            request = self._outgoing.get()
            try:
                link.send("requests", {"request": asdict(request)})
            except TooLarge as error:
                refused = Completion(request.index, "", "error", 0, 0, error=str(error))
                self._incoming.put((time.monotonic(), {"from": "main", "completion": asdict(refused)}))
                self._message_arrived.set()


def _user_error(worker: _Worker, message: str) -> UserError:
    return UserError(f"{worker.location}: {message}", worker.rank) if worker.rank else UserError(message)
