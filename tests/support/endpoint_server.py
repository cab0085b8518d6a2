"""A small OpenAI-compatible server with faults of every kind, latency and several choices on demand.

In a thread of the test, `with EndpointServer(...) as server`, or a process:

    python tests/support/endpoint_server.py '{"latency": 0.05}'
"""

import asyncio
import json
import random
import sys
import threading
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.scripts import completion

FAULTS = (
    "429",
    "429_date",
    "500",
    "503",
    "cut",
    "cut_body",
    "drip",
    "no_json",
    "nan",
    "no_choices",
    "null_text",
    "error_200",
)


@dataclass
class Behaviour:
    """How the server answers. `faults` is the share of requests that end in one of `kinds`; `latency` is in seconds. A
    `status` other than 200 is the answer to every request. `choices` limits the choices of a request; `refuses` names
    unsupported fields. `raw` is sent in place of any response, again and again with `repeats`; with `lanes`, it works on
    that many requests at a time.
    """

    latency: float = 0.0
    faults: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    seed: int = 0
    status: int = 200
    said: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    choices: int = 99
    refuses: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("/v1/completions", "/v1/chat/completions")
    model: str | None = None
    key: str | None = None
    usage: bool = True
    tasks: bool = False
    answer: dict[str, Any] | None = None
    drip: float = 0.01
    raw: bytes | None = None
    repeats: bool = False
    lanes: int = 0


class EndpointServer:
    """A server on the loopback interface. `bodies` and `times` belong to the requests it has read; `answered` counts
    the good answers by prompt, and `pieces` those of slow answers.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1", **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.host, self.port = host, port
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[str] = []
        self.answered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.in_flight = self.peak = self.pieces = 0
        self._rng = random.Random(self.behaviour.seed)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._lanes: asyncio.Semaphore | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def __enter__(self) -> "EndpointServer":
        self._loop.run_until_complete(self._listen())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, backlog=1024, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                self.in_flight += 1
                self.peak = max(self.peak, self.in_flight)
                try:
                    self.headers.append(head)
                    await self._answer(head.split(" ")[1], head, json.loads(body or b"{}"), writer)
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, path: str, head: str, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        now = self.behaviour
        self.bodies.append(body)
        self.times.append(time.monotonic())
        if now.raw is not None:
            return await self._send_raw(writer, now.raw)
        if now.lanes and self._lanes is None:
            self._lanes = asyncio.Semaphore(now.lanes)
        async with self._lanes or nullcontext():
            await asyncio.sleep(now.latency)
        if now.status != 200:
            return await self._send(writer, now.status, {"error": {"message": now.said}}, **now.headers)
        if now.key is not None and f"Bearer {now.key}\r\n" not in head:
            return await self._send(
                writer, 401, {"error": {"message": f"Incorrect API key: {head.split('Bearer ')[-1]}"}}
            )
        if path not in now.paths:
            return await self._send(writer, 404, {"detail": "Not Found"})
        if now.model is not None and body["model"] != now.model:
            return await self._send(
                writer, 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
            )
        if refused := sorted(set(now.refuses) & set(body)):
            return await self._send(writer, 400, {"error": {"message": f"Unsupported parameter: '{refused[0]}'"}})
        fault = self._rng.choice(now.kinds) if self._rng.random() < now.faults else None
        good = now.answer or self._good(path, body)
        if fault is None or fault == "drip":
            self.answered[_prompt(body)] += len(good.get("choices", ()))
        if fault is None:
            return await self._send(writer, 200, good)
        self.faults[fault] += 1
        await self._fail(fault, good, writer)

    async def _send_raw(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        writer.write(content)
        while self.behaviour.repeats:
            writer.write(content.partition(b"\r\n\r\n")[2])
            await writer.drain()
            await asyncio.sleep(0)
        await writer.drain()

    def _good(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        choices = []
        for at in range(min(body.get("n", 1), self.behaviour.choices)):
            if self.behaviour.tasks:
                text, reason = completion(random.Random(f"{body.get('seed')} {at}"), [])
            else:
                text, reason = f" {_prompt(body)[::-1]} {at}", "stop"
            answer = {"message": {"role": "assistant", "content": text}} if "chat" in path else {"text": text}
            choices.append({"index": at, "finish_reason": reason, **answer})
        usage = {"prompt_tokens": 10, "completion_tokens": 5 * len(choices), "total_tokens": 0}
        return {"id": "x", "object": "y", "choices": choices, **({"usage": usage} if self.behaviour.usage else {})}

    async def _fail(self, fault: str, good: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        text = json.dumps(good)
        if fault in ("429", "429_date"):
            value = "0.02" if fault == "429" else formatdate(usegmt=True)
            return await self._send(writer, 429, {"error": {"message": "slow down"}}, **{"Retry-After": value})
        if fault in ("500", "503"):
            return await self._send(writer, int(fault), "an internal error")
        if fault == "cut":
            return writer.transport.abort()
        if fault == "cut_body":
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Length: {len(text) + 9}\r\n\r\n{text[: len(text) // 2]}".encode()
            )
            await writer.drain()
            return writer.transport.abort()
        if fault == "drip":
            writer.write(
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode()
            )
            for begin in range(0, len(text), 40):
                writer.write(text[begin : begin + 40].encode())
                self.pieces += 1
                await asyncio.sleep(self.behaviour.drip)
            return await writer.drain()
        broken = {
            "no_json": text[:-9], "nan": json.dumps({**good, "created": float("nan")}), "no_choices": '{"choices": []}',
            "null_text": '{"choices": [{"index": 0, "finish_reason": "stop", "text": null}]}',
            "error_200": '{"error": {"message": "upstream failed", "code": 502}}',
        }  # fmt: skip
        await self._send(writer, 200, broken[fault])

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: Any, **headers: str) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode()
            + content
        )
        await writer.drain()


def _prompt(body: dict[str, Any]) -> str:
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


if __name__ == "__main__":
    with EndpointServer(**json.loads(sys.argv[1])) as served:
        sys.stdout.write(f"{served.url}\n")
        sys.stdout.flush()
        sys.stdin.read()
