"""A generating process: takes requests from rank 0, gives completions back, and sends a heartbeat every few seconds.

The main thread only runs the engine; a second thread exchanges messages. The process does not parse or judge completions, and
writes no file but its log. It ends when rank 0 asks it to or is gone, or on a signal.
"""

import logging
import os
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from self_instruct.engines.base import Completion, EngineLost, ModelEngine, Request
from self_instruct.engines.fleet.messages import (
    KEY_VARIABLE,
    PATIENCE_SECONDS,
    CarrierLost,
    Link,
    PipeCarrier,
    StoreCarrier,
    TooLarge,
)
from self_instruct.engines.fleet.stats import Stats
from self_instruct.errors import FILE_ONLY, UserError

TICK_SECONDS = 0.01
LISTENING_SECONDS = 0.1
"""How often the heartbeats of others are read; each reading is a request to the store."""
HEARTBEAT_SECONDS = 2.0
LOADING_SILENCE_SECONDS = 45.0
"""How long a heartbeat may be late while models are loaded, which can keep the other threads of a process from running."""
END_SECONDS = 12.0
"""How long a process that is asked to end may take."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """How a worker reaches rank 0: `open` opens the carrier and may wait inside torch; `key` returns the key of the launch, or
    None if there is none yet; `main_runs` returns false if this process can see that rank 0's process has ended.
    """

    open: Callable[[], StoreCarrier | PipeCarrier]
    key: Callable[[], bytes | None]
    main_runs: Callable[[], bool] = lambda: True


class Worker:
    """Connects an engine to rank 0. `load` makes the engine, which must call the argument of `load` at every step with the
    number of rows that produced a token.
    """

    def __init__(
        self, rank: int, size: int, load: Callable[[Callable[[int], None]], ModelEngine], access: Access
    ) -> None:
        self._rank, self._size, self._load, self._access = rank, size, load, access
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._completions: queue.SimpleQueue[Completion] = queue.SimpleQueue()
        self._engine: ModelEngine | None = None
        self._ending = False  # not an Event: a signal handler must not take a lock that its own thread may hold
        self._done, self._wake, self._arrived = threading.Event(), threading.Event(), threading.Event()
        self._loading, self._announced = True, False
        self._stop_requested = self._main_lost = False
        self._failure: tuple[str, str] | None = None  # its kind, "mistake" or "failed", and the message
        self._failure_sent = False
        self._unreachable: UserError | None = None
        self._received = self._sent = 0
        self._last_exchange = time.monotonic() + PATIENCE_SECONDS
        self._tokens = self._steps = self._rows_at_first = 0
        self._first_request_at: float | None = None
        self._waited = 0.0
        self._searched: tuple[int, float] | None = None  # tokens and seconds when the search for rows had ended

    def run(self) -> bool:
        """Generate until the end; return False if rank 0 or this engine has failed.

        Raises UserError if rank 0 cannot be reached.
        """
        exchange = threading.Thread(target=self._exchange, daemon=True, name="exchange")
        exchange.start()
        try:
            self._engine = engine = self._load_engine()
            self._rows_at_first = engine.rows
            self._generate(engine)
        except UserError as error:
            _log.error("%s", error, extra=FILE_ONLY)
            self._fail("mistake", str(error))
        except EngineLost as error:
            _log.error("%s", traceback.format_exc(), extra=FILE_ONLY)
            self._fail("failed", str(error))
        except Exception as error:
            _log.error("%s", traceback.format_exc())
            self._fail("failed", f"{type(error).__name__}: {error}")
        finally:
            _log.info("rank %d ends: %d tokens in %d steps", self._rank, self._tokens, self._steps, extra=FILE_ONLY)
            self._done.set()
            self._wake.set()
            exchange.join(END_SECONDS)
            if self._engine is not None:
                self._engine.close()
        if self._unreachable is not None:
            raise self._unreachable
        if self._main_lost:
            _log.error("rank %d: rank 0 is gone; run the same command again to continue", self._rank)
        return not self._main_lost and self._failure is None

    def end(self) -> None:
        """End the current generation; completions that have finished are still sent. Safe to call from a signal handler."""
        self._ending = True
        if self._engine is not None:
            self._engine.interrupt()

    def _load_engine(self) -> ModelEngine:
        try:
            return self._load(self._on_step)
        finally:
            self._loading = False

    def _fail(self, kind: str, message: str) -> None:
        """Record a failure, and wait until rank 0 asks this process to end: the launcher kills all ranks as soon as one fails,
        so rank 0 needs time to print the message.
        """
        self._failure = kind, message
        self._wake.set()
        deadline = time.monotonic() + END_SECONDS
        while not self._ending and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)

    def _generate(self, engine: ModelEngine) -> None:
        pending = 0
        while True:
            requests = self._next_requests(wait=pending == 0)
            engine.submit(requests)
            pending += len(requests)
            if self._ending:
                engine.interrupt()  # `end` may have been called before the engine was loaded
            completions = engine.poll()
            pending -= len(completions)
            for completion in completions:
                self._completions.put(completion)
            self._wake.set()
            if self._ending:
                return

    def _next_requests(self, wait: bool) -> list[Request]:
        """Return the requests that have arrived; wait for one, or for the end, if there is nothing else to do."""
        begun, found = time.monotonic(), list[Request]()
        while not self._ending and (not self._requests.empty() or (wait and not found)):
            # Not get() with a timeout: in Python 3.11 a signal can make it wait forever.
            self._arrived.wait(0.2)
            self._arrived.clear()
            while not self._requests.empty():
                found.append(self._requests.get())
            if time.monotonic() - self._last_exchange > LOADING_SILENCE_SECONDS:
                self._main_lost = True  # the other thread is stuck in the store
                self.end()
        if found and self._first_request_at is None:  # idle time before the first request does not count
            self._first_request_at = time.monotonic()
            _log.info("rank %d generates", self._rank, extra=FILE_ONLY)
        elif found and wait:
            self._waited += time.monotonic() - begun
        return found

    def _exchange(self) -> None:
        """Exchange messages until the last one is sent; then make sure that the process ends."""
        try:
            with closing(Link(self._access.open(), str(self._rank), None)) as link:
                self._exchange_until_end(link)
        except CarrierLost:
            self._main_lost = not self._stop_requested
        except UserError as error:
            self._unreachable = error
            _log.error("%s", error, extra=FILE_ONLY)
        self.end()
        if self._loading or not self._done.wait(END_SECONDS):
            os._exit(0 if self._stop_requested else 1)

    def _exchange_until_end(self, link: Link) -> None:
        heard_at = time.monotonic() + PATIENCE_SECONDS - LOADING_SILENCE_SECONDS
        next_taking = next_heartbeat = ending_since = next_reading = 0.0
        while True:
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()
            now = self._last_exchange = time.monotonic()
            if now > next_reading:
                next_reading = now + LISTENING_SECONDS
                heard_at = now if self._read_heartbeats(link) else heard_at
            if not self._access.main_runs() or now - heard_at > LOADING_SILENCE_SECONDS:
                raise CarrierLost("rank 0 is gone") if link.launch else self._no_message()
            ending_since = ending_since or (now if self._ending else 0.0)
            # Loading a model cannot be interrupted, nor can an engine that is stuck.
            last = self._done.is_set() or (ending_since and (self._loading or now - ending_since > END_SECONDS))
            if link.launch is not None:
                self._send_completions(link)
                unsent = (self._rows_at_first and not self._announced) or (self._failure and not self._failure_sent)
                if last or unsent or now > next_heartbeat:
                    self._send_heartbeat(link, bool(last))
                    next_heartbeat = now + HEARTBEAT_SECONDS
                if now > next_taking and not self._ending:
                    self._take_requests(link)
                    # A process with fewer requests asks more often, so that requests are spread evenly.
                    next_taking = now + min(0.5, TICK_SECONDS * (self._received - self._sent))
            if last:
                return

    def _no_message(self) -> UserError:
        return UserError(
            f"process {os.getpid()} on {socket.gethostname()} has received no message from rank 0 that is signed with the key "
            f"of this launch; all machines must see the run directory, or have the same {KEY_VARIABLE}"
        )

    def _read_heartbeats(self, link: Link) -> bool:
        """Read the heartbeats of rank 0; return whether there was one."""
        if link.launch is None:
            link.key = self._access.key()
        heard = False
        while (message := link.receive(f"main/{self._rank}")) is not None:
            heard = True
            if message["state"] == "stop" and not self._stop_requested:
                self._stop_requested = True
                self.end()
        return heard

    def _take_requests(self, link: Link) -> None:
        """Take a fair share of the requests, at most twice as many as the engine works on at a time."""
        if not self._announced or self._engine is None:  # rank 0 must know first that the model is loaded
            return
        share = -(-link.length("requests") // self._size)
        for _ in range(min(share, 2 * self._engine.rows - self._received + self._sent)):
            if (message := link.receive("requests")) is None:
                return
            self._received += 1
            self._requests.put(Request.of(message["request"]))
            self._arrived.set()

    def _send_completions(self, link: Link) -> None:
        while not self._completions.empty():
            completion = self._completions.get()
            try:
                link.send("completions", {"completion": asdict(completion)})
            except TooLarge as error:
                completion = replace(completion, text="", finish_reason="error", error=str(error))
                link.send("completions", {"completion": asdict(completion)})
            self._sent += 1

    def _send_heartbeat(self, link: Link, last: bool) -> None:
        engine, self._failure_sent = self._engine, self._failure is not None
        self._announced = bool(self._rows_at_first)
        link.send(
            f"alive/{self._rank}",
            {
                "ended": last, "failure": self._failure, "model_revision": engine.model_revision if engine else None,
                "method": engine.method if engine else "",
                "pid": os.getpid(), "host": socket.gethostname(), "machine": machine_id(), "stats": asdict(self._stats()),
                "sent": self._sent, "pending": self._received - self._sent,
            },
        )  # fmt: skip
        link.length(f"alive/{self._rank}")  # once this is answered, the message has arrived

    def _on_step(self, rows: int) -> None:
        self._tokens += rows
        self._steps += 1

    def _stats(self) -> Stats:
        seconds = time.monotonic() - self._first_request_at if self._first_request_at is not None else 0.0
        stats, engine = Stats(self._tokens, self._steps, seconds, self._waited), self._engine
        if self._rows_at_first and engine is not None:
            stats = replace(stats, rows=engine.rows, rows_at_first=self._rows_at_first, **asdict(engine.hardware))
        tried = getattr(engine, "rows_tried", None)  # only the local engine searches
        if tried is not None:
            if tried.ended is not None and self._searched is None:
                self._searched = self._tokens, seconds
            tokens, seconds = self._searched or (0, 0.0)
            stats = replace(stats, rows_tried=asdict(tried), search_tokens=tokens, search_seconds=seconds)
        return stats


@cache
def machine_id() -> str:
    """Return an id that two processes share only if they see the same process ids; empty if the system provides none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Return whether a process exists on this machine and has not ended. Needs /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
