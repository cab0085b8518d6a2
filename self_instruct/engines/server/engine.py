"""Generate with any OpenAI-compatible server: vLLM, SGLang, TGI, llama.cpp, `transformers serve`, or a paid one.

Several servers can share the load. Hundreds of requests are active at once, in an event loop that runs in its own thread.
Each request ends in exactly one completion: failures are retried, and the engine waits for a server that is down. When that
takes too long, the engine stops, and the next launch sends the pending requests again.
"""

import asyncio
import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from self_instruct.engines.base import Completion, EngineLost, Hardware, Request, Sampling, Usage, UserTurn
from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.engines.local.tokenizer import ModelReader
from self_instruct.engines.server.answers import read_answer
from self_instruct.engines.server.client import Client
from self_instruct.engines.server.faults import Fault, fault_of
from self_instruct.engines.server.form import SCHEMA_FIELD, THOUGHT_STOP, Form
from self_instruct.engines.server.jobs import Job, distribute, jobs_of
from self_instruct.engines.server.reader import EndpointReader
from self_instruct.engines.server.servers import Server, Servers, pause

CLOSE_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Retry and timeout limits (in seconds), and the number of concurrent requests per address."""

    retries: int = 5
    timeout: float = 600.0
    wait: float = 600.0
    concurrency: int = 256


class OpenAIEngine:
    """Sends requests, rendered by `form`, to the servers at `urls`; `reader` counts prompt tokens.

    `hide` removes the key from a text. `on_tokens` is called in the polling thread with the number of new tokens.
    `renderer` renders the model's chat template, for runs that do so here rather than on the server.
    """

    capacity: int | None = None

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        hide: Callable[[str], str],
        form: Form,
        sampling: Sampling,
        reader: EndpointReader,
        patience: Patience,
        on_tokens: Callable[[int], None] = lambda tokens: None,
        renderer: ModelReader | None = None,
    ) -> None:
        self._renderer = renderer
        self.form, self._hide, self._sampling, self._patience = form, hide, sampling, patience
        self._reader, self._on_tokens = reader, on_tokens
        self._clients = [Client(url, key, hide, patience.timeout, patience.concurrency) for url in urls]
        self.servers = Servers(
            [
                Server(url, client.ask, patience.concurrency, patience.wait)
                for url, client in zip(urls, self._clients, strict=True)
            ]
        )
        self.context_length = reader.context_length
        self._finished: queue.SimpleQueue[list[Completion]] = queue.SimpleQueue()
        self._queue: list[Job] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._waking: asyncio.TimerHandle | None = None
        self._interrupted = False
        self._lost: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="endpoint")
        self._thread.start()

    @property
    def model_revision(self) -> str:
        """The way prompts are sent; the version of the model is unknown."""
        return self.form.name

    @property
    def rows(self) -> int:
        """The maximum number of requests active at a time."""
        return self._patience.concurrency * len(self.servers.all)

    @property
    def hardware(self) -> Hardware:
        """A remote server reports no local hardware."""
        return Hardware("server", 0, 0, 0)

    @property
    def chats(self) -> bool:
        """Whether prompts are rendered with a chat template, by the server or here."""
        return self.form.chat or self._renderer is not None

    @property
    def only_schemas(self) -> bool:
        """Whether the server enforces JSON schemas, but no patterns."""
        return self.form.pattern_field == SCHEMA_FIELD

    @property
    def template(self) -> ChatTemplate | None:
        """The chat template, if this process renders it; otherwise None."""
        return self._renderer.template if self._renderer else None

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return the template's text around the user's text. Raises UserError if nothing marks the end of the user's turn."""
        assert self._renderer is not None, "the engine was connected for user turns"
        return self._renderer.user_turn(system)

    @property
    def template_arguments(self) -> Mapping[str, Any]:
        """The variables of the chat template, whether the server or this process renders it."""
        return self._renderer.template_arguments if self._renderer else self.form.template

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of tokens in a prompt."""
        return self._reader.prompt_tokens(prompt, opening, system, raw)

    def wait_for(self, coroutine: Any) -> Any:
        """Run a coroutine in the engine's event loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def admit(self, server: Server, probe: Coroutine[Any, Any, str | None]) -> None:
        """Send requests to this server, too, once `probe` returns None, or log the reason that it returns.

        Must be called in the event loop.
        """
        self._start_task(self._admit(server, probe))

    async def _admit(self, server: Server, probe: Coroutine[Any, Any, str | None]) -> None:
        reason = await probe
        if reason is None:
            server.ready = True
            self._start_requests()
        else:
            _log.warning("%s: not used, so the other addresses get all requests: %s", server.url, reason)

    def _start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. Those that share a prompt are sent together if the server allows it."""
        jobs = jobs_of(requests, self.form.takes_several())
        self._pending += len(requests)
        self._loop.call_soon_threadsafe(self._enqueue, jobs)

    def poll(self) -> list[Completion]:
        """Wait for a completion and return all that have arrived. Raises EngineLost."""
        while True:
            found: list[Completion] = []
            try:
                while True:
                    found += self._finished.get_nowait()
            except queue.Empty:
                pass
            if found:
                self._pending -= len(found)
                self._on_tokens(sum(item.completion_tokens for item in found))
                return found
            if self._interrupted or not self._pending:
                return []
            if self._lost is not None:
                raise EngineLost(self._lost)
            found = self._finished.get()
            if found:
                self._finished.put(found)

    def interrupt(self) -> None:
        """Make `poll` return the completions that have arrived. The next launch sends the active requests again."""
        self._interrupted = True
        self._finished.put([])

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._end()))
            self._thread.join(CLOSE_SECONDS)
            if not self._thread.is_alive():
                self._loop.close()

    async def _end(self) -> None:
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in self._clients), return_exceptions=True)
        self._loop.stop()

    def _enqueue(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            heapq.heappush(self._queue, job)
        self._start_requests()

    def _start_requests(self) -> None:
        """Start as many requests as the servers accept."""
        while self._queue and self._lost is None and not self._interrupted:
            now = time.monotonic()
            server = self.servers.free(now)
            if server is None:
                self._wake_later(self.servers.next_start() - now)
                return
            job = heapq.heappop(self._queue)
            if len(job.requests) > 1 and not self.form.takes_several():
                job, *others = job.split()
                for other in others:
                    heapq.heappush(self._queue, other)
            server.in_flight += 1
            self._start_task(self._ask(job, server))

    def _wake_later(self, seconds: float) -> None:
        """Schedule `_start_requests`. If all servers are busy, the next request to end calls it."""
        if seconds > 0:
            if self._waking is not None:
                self._waking.cancel()
            self._waking = self._loop.call_later(seconds, self._start_requests)

    async def _ask(self, job: Job, server: Server) -> None:
        begun, fields = time.monotonic(), self.form.fields(job.requests)
        chat = self.form.is_chat(job.requests[0])
        try:
            async with server.within(self._patience.timeout):
                content = await server.ask(fields, chat)
            answer = read_answer(content, chat, self._hide)
            server.record_success(self._patience.timeout)
            if answer.ignored_usage is not None and not server.warned_of_usage:
                server.warned_of_usage = True
                reason = answer.ignored_usage
                _log.warning("%s: %s; tokens are estimated for such answers", server.url, reason)
            found, rest = distribute(job, answer, self.form, self._sampling)
            if any(item.reasoning_tokens for item in found) and "stop" in fields and self.form.withhold(THOUGHT_STOP):
                _log.info(
                    "The model thinks before it answers, so stop texts, which could end a thought, are not sent."
                )
            if rest is not None:
                if len(answer.choices) == 1 and self.form.withhold("n"):
                    _log.info("The server returns one completion per request, so they are requested one by one.")
                heapq.heappush(self._queue, rest)
            self._finished.put(found)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            try:
                self._handle_fault(job, server, begun, fields, fault_of(error, self._patience.timeout, self._hide))
            except Exception as bug:  # without this, the requests would never end
                self._fail(f"the engine failed ({type(bug).__name__}: {self._hide(str(bug))[:200]})")
        finally:
            server.in_flight -= 1
            self._start_requests()

    def _handle_fault(self, job: Job, server: Server, begun: float, fields: dict[str, Any], fault: Fault) -> None:
        """Handle a failed attempt: retry the job, now or later, or end it, or end the engine."""
        now = time.monotonic()
        job.failed_usage += fault.usage or Usage(0, 0)
        if fault.kind == "unavailable" or (fault.status == 404 and len(self.servers.ready) > 1):
            self._note_unavailable(server, begun, now, fault)
            heapq.heappush(self._queue, job)
        elif fault.kind == "fatal":
            self._fail(f"{server.url}: {fault.message}")
        elif fault.kind == "refused":
            if self.form.drop_refused_fields(fault.message, fields):
                heapq.heappush(self._queue, job)
            else:
                self._finished.put(job.fail(f"the server refused the request: {fault.message}"))
        else:
            if fault.overload:
                server.record_overload(begun, now)
            job.attempts += 1
            if job.attempts > self._patience.retries:
                self._finished.put(job.fail(f"failed {job.attempts} times; the last time: {fault.message}"))
            else:
                seconds = pause(job.attempts, fault.retry_after, self._patience.wait)
                self._loop.call_later(seconds, self._enqueue, [job])

    def _note_unavailable(self, server: Server, begun: float, now: float, fault: Fault) -> None:
        fresh = server.failing_since is None
        server.record_failure(begun, now, fault.retry_after)
        if fresh:
            _log.warning(
                "%s: %s; trying again in %.1f s", server.url, fault.message, max(0.0, server.paused_until - now)
            )
        waited = self.servers.failing_for(now)
        if waited > self._patience.wait:
            self._fail(
                f"no server has answered for {waited / 60:.1f} minutes (--api_wait_minutes); the last one, {server.url}: "
                f"{fault.message}; run the same command again to continue"
            )

    def _fail(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._finished.put([])
