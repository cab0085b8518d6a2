"""Distribute requests over servers: which one gets the next request, how many it gets at a time, and when to back off.

The concurrency limit adapts as in TCP (AIMD, chiu1989analysis): it doubles with every successful round at first, then grows
by one, and is halved when the server is overloaded.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

FIRST_LIMIT = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Server:
    """One address. `ask` sends a body and returns the bytes of the response. Times are seconds of a monotonic clock.

    `ready` says whether it has answered a first request. `longest` bounds a pause that the server asks for.
    """

    def __init__(self, url: str, ask: Callable[..., Any], most: int, longest: float) -> None:
        self.url, self.ask, self.ready, self.warned_of_usage = url, ask, False, False
        self._longest = longest
        self._waiting: dict[asyncio.Timeout, int] = {}
        self.in_flight = 0
        self.paused_until = 0.0
        self.failing_since: float | None = None
        self._limit, self._most, self._doubling = float(min(FIRST_LIMIT, most)), most, True
        self._failures, self._last_failure = 0, -math.inf

    @property
    def limit(self) -> int:
        """Requests allowed at a time. After a failure, only one until the server has answered again."""
        return int(self._limit) if self.failing_since is None else 1

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError if the server takes longer than `seconds` for the request inside this context.

        The server may process requests one by one. So the time starts again with each answer, as long as the server may
        still be working on requests that were active before this one.
        """
        async with asyncio.timeout(seconds) as limit:
            self._waiting[limit] = self.in_flight - 1
            try:
                yield
            finally:
                del self._waiting[limit]

    def record_success(self, seconds: float) -> None:
        """Record a successful response; requests that wait for the server get `seconds` from now on."""
        now = asyncio.get_running_loop().time()
        for limit, before in self._waiting.items():
            if before > 0 and not limit.expired():
                limit.reschedule(now + seconds)
                self._waiting[limit] = before - 1
        self._failures, self.failing_since = 0, None
        if self.in_flight >= self.limit - 1:  # an unused limit says nothing about a higher one
            self._limit = min(self._most, self._limit + (1 if self._doubling else 1 / self._limit))

    def record_overload(self, begun: float, now: float) -> None:
        """Record an overload seen by a request sent at `begun`. Requests sent before the last overload are ignored."""
        if begun > self._last_failure:
            self._limit, self._doubling, self._last_failure = max(1.0, self._limit / 2), False, now

    def record_failure(self, begun: float, now: float, retry_after: float | None) -> None:
        """Record that the server is down or refuses requests: pause for as long as it asks, or longer each time."""
        if begun > self._last_failure:
            self._failures += 1
        self.record_overload(begun, now)
        if self.failing_since is None:
            self.failing_since = now
        self.paused_until = max(self.paused_until, now + pause(self._failures, retry_after, self._longest))


class Servers:
    """All servers of a run. Only servers that are ready get requests; one must be ready before the first request."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.all = list(servers)

    @property
    def ready(self) -> list[Server]:
        """The servers that have answered a first request."""
        return [server for server in self.all if server.ready]

    def free(self, now: float) -> Server | None:
        """Return the server with the fewest active requests among those below their limit, or None."""
        able = [server for server in self.ready if server.paused_until <= now and server.in_flight < server.limit]
        return min(able, key=lambda server: server.in_flight, default=None)

    def next_start(self) -> float:
        """Return when the first paused server can be tried again."""
        return min(server.paused_until for server in self.ready)

    def failing_for(self, now: float) -> float:
        """Return for how many seconds all servers have been failing; 0 if at least one works."""
        since = [server.failing_since for server in self.ready]
        return min((now - at for at in since if at is not None), default=0.0) if None not in since else 0.0


def pause(times: int, retry_after: float | None, longest: float) -> float:
    """Return the seconds to wait after `times` consecutive failures: a little more than the server asks for, at most `longest`,
    or else twice as long each time. Jitter keeps requests from returning all at once.
    """
    if retry_after is not None:
        retry_after = min(retry_after, longest)
        return retry_after + random.uniform(0, min(1.0, 0.1 * retry_after))
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 1, 10)) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """Return the seconds in a Retry-After header, a number or a date (RFC 9110, 10.2.3), or None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
