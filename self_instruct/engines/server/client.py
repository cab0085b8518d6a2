"""Wrap the official client library, with its retries switched off and bounds on what a server can send.

The API key is removed from every answer before anything else reads it.
"""

import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from self_instruct.engines.server.answers import SHOWN, BadAnswer
from self_instruct.errors import UserError, install

# Local servers need no key, but the library does.
NO_KEY = "none"
_HIDDEN = "[key]"
_SHORTEST_KEY = 8  # a shorter one may be a word of the answers
_SHORTEST_PIECE = 12
_MOST_REDIRECTS = 3
# A token has a few bytes, six times as many if JSON escapes them, and some hundred with log-probabilities.
_BYTES_PER_TOKEN = 1024
_OTHER_BYTES = 1 << 20
_most_bytes: ContextVar[int] = ContextVar("most_bytes")  # of the response to the request that a task is sending


def read_key(variable: str) -> str:
    """Return the key in an environment variable, or `NO_KEY`. Raises UserError, whose message never shows a possible key."""
    if not re.fullmatch(r"[A-Za-z_]\w*", variable):
        raise UserError(
            "--api_key_env must be the name of an environment variable, such as OPENAI_API_KEY; never the key itself"
        )
    key = os.environ.get(variable, "").strip()
    if not key and variable != "OPENAI_API_KEY":
        raise UserError(
            "--api_key_env names an environment variable that is not set; export it with the key as its value"
        )
    if not key.isascii() or not key.isprintable():
        raise UserError("the key in the environment holds characters that cannot be sent in a header; export it again")
    return key or NO_KEY


def hider(key: str) -> Callable[[str], str]:
    """Return a function that removes the key from a text: servers may repeat it in answers and messages.

    It also removes JSON-escaped forms of the key, and pieces of at least a third of it that hold a digit or a capital letter.
    """
    if len(key) < _SHORTEST_KEY:
        return lambda text: text
    # A backslash before a character is how JSON writes quotes, backslashes and slashes.
    escaped = re.compile("".join(rf"(?:\\*{re.escape(sign)}|\\+u00(?i:{ord(sign):02x}))" for sign in key))
    size = max(_SHORTEST_PIECE, len(key) // 3)
    pieces = [key[at : at + size] for at in range(len(key) - size + 1)]
    pieces = [piece for piece in pieces if re.search("[0-9A-Z]", piece)]

    def hide(text: str) -> str:
        text = text.replace(key, _HIDDEN)
        if "\\" in text:
            text = escaped.sub(_HIDDEN, text)
        return _without_pieces(text, pieces) if any(piece in text for piece in pieces) else text

    return hide


def _without_pieces(text: str, pieces: Sequence[str]) -> str:
    """Replace every stretch of a text that pieces cover."""
    covered: list[tuple[int, int]] = sorted(
        (found.start(), found.start() + len(piece))
        for piece in pieces
        for found in re.finditer(f"(?={re.escape(piece)})", text)
    )
    parts, end = [], 0
    for begin, stop in covered:
        if begin >= end:
            parts += [text[end:begin], _HIDDEN]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def addresses(given: Sequence[str]) -> list[str]:
    """Return the addresses as the library expects them, without duplicates; without a path, /v1 is added. Raises UserError."""
    if not given:
        raise UserError("--engine openai needs --api_base, the server's address, such as http://localhost:8000/v1")
    found = []
    for address in given:
        try:
            parts = urlsplit(address)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            raise UserError(
                "--api_base holds something that is not an address; it must look like http://localhost:8000/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError(
                "--api_base holds more than an address (a name, a password or a query), which would be written to run.yaml; "
                "put the key into the environment variable that --api_key_env names"
            )
        found.append(address.rstrip("/") + ("" if parts.path.strip("/") else "/v1"))
    return list(dict.fromkeys(found))


def most_bytes(fields: Mapping[str, Any]) -> int:
    """Return how many bytes a response to a request body may have: 1 KiB a token, and 1 MiB for everything else."""
    counts = [fields.get(name) for name in ("max_tokens", "max_completion_tokens")]
    tokens = max((count for count in counts if isinstance(count, int)), default=0)
    return _OTHER_BYTES + _BYTES_PER_TOKEN * max(0, tokens) * int(fields.get("n", 1))


def bounded(stream: Any, most: int) -> Any:
    """Return a response's stream that ends with BadAnswer after `most` bytes."""
    from httpx2 import AsyncByteStream

    class Bounded(AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for part in stream:
                read += len(part)
                if read > most:
                    raise BadAnswer(f"the answer is longer than {most:,} bytes, which --max_new_tokens cannot need")
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


class Redirected(Exception):
    """The server redirects the request to another host."""


class Client:
    """A client for one address, to be used in one event loop. Raises UserError if the library is missing.

    `hide` removes the key from a text; `timeout` is for connecting.
    """

    def __init__(self, url: str, key: str, hide: Callable[[str], str], timeout: float, connections: int) -> None:
        try:
            import httpx2
            import openai
        except ImportError as error:
            raise UserError(f"--engine openai needs the client library ({error}): {install('openai')}") from None
        for noisy in ("openai", "httpx2", "httpcore2"):  # at lower levels they log headers
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._response, self._base = httpx2.Response, httpx2.URL(url)
        self._hide = hide
        limits = httpx2.Limits(max_connections=connections + 1, max_keepalive_connections=connections + 1)
        # With many connections, the default client spends more time searching its pool than on the requests.
        http = openai.DefaultAioHttpClient(
            limits=limits, max_redirects=_MOST_REDIRECTS,
            event_hooks={"request": [self._check_request], "response": [self._check_response]},
        )  # fmt: skip
        # Reading has no time limit here: only the caller knows when the server started to work on the request.
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key, max_retries=0, timeout=httpx2.Timeout(None, connect=timeout), http_client=http,
            default_headers={"Accept-Encoding": "identity"},  # a small compressed body can become an endless text
        )  # fmt: skip

    async def _check_request(self, request: Any) -> None:
        """Raise Redirected for a request to another host than the user gave, or for one that is no longer encrypted."""
        base, url = self._base, request.url
        encrypted = url.scheme == "https" and base.scheme == "http" and base.port is None and url.port is None
        if url.host != base.host or ((url.scheme, url.port) != (base.scheme, base.port) and not encrypted):
            raise Redirected(
                f"the server redirects requests to {url.scheme}://{url.netloc.decode('ascii', 'replace')}"
            )

    async def _check_response(self, response: Any) -> None:
        """Bound the size of the body, also if it is an error. Raises BadAnswer if the body is compressed."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise BadAnswer(f"the answer is compressed ({encoding[:SHOWN]}), though that was not asked for")
        response.stream = bounded(response.stream, _most_bytes.get())

    async def ask(self, fields: dict[str, Any], chat: bool) -> bytes:
        """Send a request and return the response body without the key.

        Raises BadAnswer, Redirected or the library's exceptions.
        """
        path = "/chat/completions" if chat else "/completions"
        _most_bytes.set(most_bytes(fields))
        # The library's typed methods validate and convert every field, which doubles the time per request.
        answer = await self._client.post(path, cast_to=self._response, body=fields)
        return self._hide(answer.content.decode("latin-1")).encode("latin-1")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
