"""All processes that generate as one engine, for the process that composes and judges.

Each is handed twice as many requests as it has rows, the oldest first, and gets new ones as it answers. One that dies or
falls silent ends the generation with a message that names it; what had been handed in by then is returned before that.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge, wait
from typing import Any, Protocol

from self_instruct.engines.base import Completion, EngineLost, Request
from self_instruct.engines.fleet.channel import Channel
from self_instruct.engines.fleet.news import News
from self_instruct.errors import UserError

SILENCE_SECONDS = 20.0
LOADING_SILENCE_SECONDS = 45.0  # loading has long stretches in which no other thread has its turn
GREETING_SECONDS = 300.0
FAREWELL_SECONDS = 12.0
GRACE_SECONDS = 2.0
TICK_SECONDS = 0.5
_log = logging.getLogger(__name__)


class Process(Protocol):
    """What is left to do with a process that this one has started."""

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end."""

    def kill(self) -> None:
        """Ends it at once."""


@dataclass(eq=False)
class _Worker:
    """What is known of a process that generates. `rows` is 0 until its model is loaded."""

    channel: Channel
    heard: float
    rank: int = -1
    place: str = ""
    rows: int = 0
    pending: set[int] = field(default_factory=set)
    news: News = field(default_factory=News)
    gone: str = ""
    blamed: bool = False

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.place})" if self.rank >= 0 else "a process that did not say which rank it is"

    @property
    def room(self) -> int:
        """How many more requests it may be handed."""
        return 2 * self.rows - len(self.pending) if not self.gone else 0


class WorkerPool:
    """The engine that the loop sees. `ranks` are expected to connect; `revision` is what all of them must have loaded."""

    def __init__(
        self, ranks: Sequence[int], revision: str, on_step: Callable[[int], None] = lambda tokens: None
    ) -> None:
        self.model_revision = revision
        self._ranks, self._on_step = set(ranks), on_step
        self._workers: list[_Worker] = []
        self._arrivals: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._processes: list[Process] = []
        self._queue: list[Request] = []
        self._finished: list[Completion] = []
        self._interrupted = self._parted = self._closed = False
        self._begun = time.monotonic()

    def add(self, connection: Connection, process: Process) -> None:
        """Takes in a process that this one has started."""
        self._processes.append(process)
        self._arrivals.put(connection)

    def listen(self, listener: Listener, secret: bytes) -> None:
        """Takes in whoever connects and knows the secret."""

        def accept() -> None:
            while not self._closed:
                try:
                    connection = listener.accept()
                except OSError:  # the caller has hung up already, or the listener is closed
                    time.sleep(0.1)
                    continue
                threading.Thread(target=self._greet, args=(connection, secret), daemon=True).start()

        threading.Thread(target=accept, daemon=True, name="listener").start()

    @property
    def rows(self) -> int:
        """Requests that all processes work on at a time, as far as their models are loaded."""
        return sum(worker.rows for worker in self._workers)

    @property
    def in_flight(self) -> int:
        """Rows that have a request to work on."""
        return sum(min(len(worker.pending), worker.rows) for worker in self._workers)

    @property
    def news(self) -> list[News]:
        """What each process last told of itself."""
        return [worker.news for worker in self._workers]

    def wait_until_ready(self) -> None:
        """Returns when one model is loaded, or on interruption. Raises `UserError` or `EngineLost` if that fails."""
        while not self.rows and not self._interrupted:
            self._receive()

    def submit(self, requests: Sequence[Request]) -> None:
        """Queues requests; whoever has room gets them."""
        self._queue.extend(requests)
        self._queue.sort(key=lambda request: request.index)
        self._hand_out()

    def poll(self) -> list[Completion]:
        """What has come in; empty only if nothing is pending or on interruption. Raises `EngineLost`, `UserError`."""
        while not self._finished and not self._interrupted and (self._queue or self._pending):
            self._hand_out()
            self._receive()
        if self._interrupted:
            self._farewell()
        finished, self._finished = self._finished, []
        return finished

    def interrupt(self) -> None:
        """Ends the generation. Safe to call from a signal handler."""
        self._interrupted = True

    def close(self) -> None:
        """Ends all processes."""
        self._closed = True
        self._farewell()
        for worker in self._workers:
            worker.channel.close()
        for process in self._processes:
            process.join(GRACE_SECONDS)  # all that it had is handed in by now
            process.kill()
            process.join(GRACE_SECONDS)
        self._processes, self._workers = [], []

    @property
    def _pending(self) -> int:
        return sum(len(worker.pending) for worker in self._workers)

    def _hand_out(self) -> None:
        handed: dict[int, list[Request]] = {}
        while self._queue:
            freest = max(self._workers, key=lambda worker: worker.room, default=None)
            if freest is None or freest.room <= 0:
                break
            request = self._queue.pop(0)
            freest.pending.add(request.index)
            handed.setdefault(id(freest), []).append(request)
        for worker in self._workers:
            if requests := handed.get(id(worker)):
                worker.channel.send("requests", requests=[asdict(request) for request in requests])

    def _receive(self, seconds: float = TICK_SECONDS) -> None:
        """Takes in who has arrived and what was said within some seconds, and looks after those who say nothing."""
        self._admit()
        present = {worker.channel.connection: worker for worker in self._workers if not worker.gone}
        if not present:
            time.sleep(min(seconds, 0.05))
        for connection in wait(list(present), seconds) if present else []:
            worker = present[connection]  # type: ignore[index]
            message = worker.channel.receive()
            worker.heard = time.monotonic()
            if message is None:
                worker.gone = "has died"
            else:
                self._take(worker, message)
        if not self._finished:  # what has come in is returned first
            self._look_after()

    def _admit(self) -> None:
        while not self._arrivals.empty():
            self._workers.append(_Worker(Channel(self._arrivals.get()), time.monotonic()))
            if self._interrupted:
                self._workers[-1].channel.send("end")

    def _take(self, worker: _Worker, message: dict[str, Any]) -> None:
        kind = message.pop("kind")
        if kind == "hello":
            worker.rank, worker.place = message["rank"], f"process {message['pid']} on {message['host']}"
        elif kind == "ready":
            self._check_revision(worker, message["model_revision"])
            worker.rows = message["news"]["rows"]
        elif kind == "completions":
            for item in message["completions"]:
                worker.pending.discard(item["request"])
                self._finished.append(Completion(**item))
        elif kind == "mistake":
            worker.gone, worker.blamed = "has given up", True
            raise _mistake(worker, message["message"]) if worker.rank else UserError(message["message"])
        elif kind == "failure":
            worker.gone, worker.blamed = "has failed", True
            raise EngineLost(f"{worker} failed: {message['message']}")
        if "news" in message:
            news = News(**message["news"])
            self._on_step(news.tokens - worker.news.tokens)
            worker.news = news
        if kind == "bye":
            worker.gone = "was ended from outside"
            worker.blamed = self._interrupted

    def _check_revision(self, worker: _Worker, revision: str) -> None:
        if revision != self.model_revision:
            raise _mistake(
                worker,
                f"has loaded revision {revision} of the model, but rank 0 goes by {self.model_revision}; all machines must "
                "have the same model",
            )

    def _look_after(self) -> None:
        """Raises `EngineLost` for a process that has died, fallen silent, or never come."""
        now = time.monotonic()
        for worker in self._workers:
            patience = SILENCE_SECONDS if worker.rows else LOADING_SILENCE_SECONDS
            if not worker.gone and now - worker.heard > patience:
                worker.gone = f"has said nothing for {patience:.0f} seconds"
            # A signal that ends all processes may reach this one last; then none of them is missed.
            if worker.gone and not self._interrupted and now - worker.heard > GRACE_SECONDS:
                worker.blamed = True
                raise EngineLost(f"{worker} {worker.gone}")
        if len(self._workers) < len(self._ranks) and now - self._begun > GREETING_SECONDS:
            missing = sorted(self._ranks - {worker.rank for worker in self._workers})
            raise EngineLost(f"rank {missing[0]} has not connected within {GREETING_SECONDS:.0f} seconds")

    def _farewell(self) -> None:
        """Asks all for what is whole, and waits a while for it."""
        first, self._interrupted = not self._parted, True
        self._parted = True
        for worker in self._workers if first else []:
            if not worker.gone:
                worker.channel.send("end")
        self._admit()
        deadline = time.monotonic() + FAREWELL_SECONDS
        while time.monotonic() < deadline and not all(worker.gone for worker in self._workers):
            try:
                self._receive(0.1)
            except (EngineLost, UserError) as error:
                _log.warning("%s", error)
        for worker in self._workers:
            worker.gone = worker.gone or f"has not ended within {FAREWELL_SECONDS:.0f} seconds"
            # Whoever ends all processes because one has died may be faster than this one in noticing it.
            if not worker.blamed:
                worker.blamed = True
                _log.warning("%s %s", worker, worker.gone)

    def _greet(self, connection: Connection, secret: bytes) -> None:
        try:
            deliver_challenge(connection, secret)
            answer_challenge(connection, secret)
        except Exception:  # whoever it was does not belong here
            connection.close()
            return
        if self._closed:  # too late to take part, which is no fault
            channel = Channel(connection)
            channel.send("end")
            channel.close()
        else:
            self._arrivals.put(connection)


def _mistake(worker: _Worker, message: str) -> UserError:
    return UserError(f"{worker.place}: {message}", worker.rank)
