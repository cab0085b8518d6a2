"""A process that generates: takes requests from a channel, gives completions back, and says every few seconds that it lives.

Nothing but the engine keeps it busy: it parses nothing, judges nothing and touches no file but its log. It ends when rank
0's process says so or is gone, or on a signal.
"""

import logging
import os
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from self_instruct.engines.base import ModelEngine, Request
from self_instruct.engines.fleet.channel import Channel
from self_instruct.engines.fleet.news import News
from self_instruct.errors import FILE_ONLY, UserError

BEAT_SECONDS = 2.0
LAST_WORD_SECONDS = 15.0
END_SECONDS = 20.0
_log = logging.getLogger(__name__)


class Worker:
    """Connects an engine with a channel. `rank` is told to the other side; `load` makes the engine, and is given a function to
    call at every step with the number of rows that drew a token.
    """

    def __init__(self, channel: Channel, rank: int, load: Callable[[Callable[[int], None]], ModelEngine]) -> None:
        self._channel, self._rank, self._load = channel, rank, load
        self._requests: queue.SimpleQueue[list[Request]] = queue.SimpleQueue()
        self._engine: ModelEngine | None = None
        self._ends, self._done = threading.Event(), threading.Event()
        self._loading = True
        self._asked = self._abandoned = False
        self._tokens = self._steps = 0
        self._begun: float | None = None
        self._waited = 0.0
        self._rows_at_first = 0

    def run(self) -> bool:
        """Generates until the end; False if it was rank 0's process or this engine that failed."""
        self._channel.send("hello", rank=self._rank, pid=os.getpid(), host=socket.gethostname())
        listening, beating = (
            threading.Thread(target=task, daemon=True, name=task.__name__) for task in (self._listen, self._watch)
        )
        listening.start()
        beating.start()
        try:
            self._engine = engine = self._load_engine()
            self._rows_at_first = engine.rows
            self._channel.send("ready", model_revision=engine.model_revision, **self._news())
            self._generate(engine)
        except UserError as error:
            _log.error("%s", error, extra=FILE_ONLY)
            self._channel.send("mistake", message=str(error))
            # A launcher that sees this process fail ends the others: rank 0's is to have its say first.
            listening.join(LAST_WORD_SECONDS)
            return False
        except Exception as error:
            _log.error("%s", traceback.format_exc())
            self._channel.send("failure", message=f"{type(error).__name__}: {error}")
            listening.join(LAST_WORD_SECONDS)
            return False
        finally:
            _log.info(
                "rank %d ends after %d tokens in %d steps", self._rank, self._tokens, self._steps, extra=FILE_ONLY
            )
            self._channel.send("bye", **self._news())
            self._channel.close()
            closing, self._engine = self._engine, None
            if closing is not None:
                closing.close()
            self._done.set()
        if self._abandoned:
            _log.error("rank %d: rank 0's process is gone; the same command goes on with the run", self._rank)
        return not self._abandoned

    def end(self) -> None:
        """Ends the generation under way; what is whole is still handed in. Safe to call from a signal handler."""
        self._ends.set()
        if self._engine is not None:
            self._engine.interrupt()

    def _load_engine(self) -> ModelEngine:
        try:
            return self._load(self._on_step)
        finally:
            self._loading = False

    def _generate(self, engine: ModelEngine) -> None:
        pending = 0
        while True:
            while not self._ends.is_set() and (pending == 0 or not self._requests.empty()):
                requests = self._next()
                engine.submit(requests)
                pending += len(requests)
            if self._ends.is_set():
                engine.interrupt()  # it may have been made after the end was called for
            completions = engine.poll()
            pending -= len(completions)
            if completions:
                self._channel.send("completions", completions=[asdict(item) for item in completions])
            if self._ends.is_set():
                return

    def _next(self) -> list[Request]:
        """Waits for requests, or for the end."""
        begun = time.monotonic()
        while not self._ends.is_set():
            try:
                requests = self._requests.get(timeout=0.2)
            except queue.Empty:
                continue
            if self._begun is None:  # before the first request there was nothing to be late for
                self._begun = time.monotonic()
                _log.info("rank %d generates", self._rank, extra=FILE_ONLY)
            else:
                self._waited += time.monotonic() - begun
            return requests
        return []

    def _listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            if message["kind"] == "requests":
                self._requests.put([Request.of(row) for row in message["requests"]])
            elif message["kind"] == "end":
                self._asked = True
                self.end()
        if not self._ends.is_set():
            self._abandoned = True
            self.end()

    def _watch(self) -> None:
        """Says that this process lives. Once it is to end, sees to it that it does: loading a model cannot be interrupted."""
        while not self._ends.wait(BEAT_SECONDS):
            self._channel.send("alive", **self._news())
        if not self._loading and self._done.wait(END_SECONDS):
            return
        self._channel.send("bye", **self._news())
        self._channel.close()
        os._exit(not self._asked)

    def _on_step(self, rows: int) -> None:
        self._tokens += rows
        self._steps += 1

    def _news(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._begun if self._begun is not None else 0.0
        news = News(self._tokens, self._steps, seconds, self._waited)
        if self._rows_at_first and self._engine is not None:
            rows, hardware = self._engine.rows, asdict(self._engine.hardware)
            news = replace(news, rows=rows, rows_at_first=self._rows_at_first, **hardware)
        return {"news": asdict(news)}
