"""Wrap the official client library, with its retries switched off, and keep the API key out of everything shown."""

import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from self_instruct.errors import UserError, install

# Local servers need no key, but the library does.
NO_KEY = "none"
_HIDDEN = "[key]"


def read_key(variable: str) -> str:
    """Return the key in an environment variable, or `NO_KEY`. Raises UserError, whose message never shows a possible key."""
    if not re.fullmatch(r"[A-Za-z_]\w*", variable):
        raise UserError(
            "--api_key_env must be the name of an environment variable, as OPENAI_API_KEY; never the key itself"
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
    """Return a function that removes the key from a text: servers may repeat it in their messages."""
    return (lambda text: text) if key == NO_KEY else (lambda text: text.replace(key, _HIDDEN))


def addresses(given: Sequence[str]) -> list[str]:
    """Return the addresses as the library expects them, without duplicates; without a path, /v1 is added. Raises UserError."""
    if not given:
        raise UserError("--engine openai needs --api_base, the server's address, as http://localhost:8000/v1")
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


class Client:
    """A client for one address, to be used in one event loop. Raises UserError if the library is missing."""

    def __init__(self, url: str, key: str, timeout: float, connections: int) -> None:
        try:
            import httpx2
            import openai
        except ImportError as error:
            raise UserError(f"--engine openai needs the client library ({error}): {install('openai')}") from None
        for noisy in ("openai", "httpx2", "httpcore2"):  # at lower levels they log headers
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._response = httpx2.Response
        limits = httpx2.Limits(max_connections=connections + 1, max_keepalive_connections=connections + 1)
        self._client = openai.AsyncOpenAI(
            base_url=url, api_key=key, max_retries=0, timeout=timeout,
            # With many connections, the default client spends more time searching its pool than on the requests.
            http_client=openai.DefaultAioHttpClient(limits=limits),
        )  # fmt: skip

    async def ask(self, fields: dict[str, Any], chat: bool) -> bytes:
        """Send a request and return the response body. Raises the library's exceptions."""
        path = "/chat/completions" if chat else "/completions"
        # The library's typed methods validate and convert every field, which doubles the time per request.
        answer = await self._client.post(path, cast_to=self._response, body=fields)
        return answer.content

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
