"""Several servers that share the requests: who gets the next one, how many each is given at a time, and when one rests.

How many is found out as TCP does it (AIMD, chiu1989analysis): one more for every round that went well, at first doubled with
every round, and half of it when the server was overloaded. Knows times and counts, not requests.
"""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

FIRST_LIMIT = 8
FIRST_REST, LONGEST_REST = 0.5, 30.0


class Server:
    """One address: `ask` sends it a body and gives the bytes of the answer. Times are in seconds, of a monotonic clock."""

    def __init__(self, url: str, ask: Callable[..., Any], most: int) -> None:
        self.url, self.ask = url, ask
        self.in_flight = 0
        self.rests_until = 0.0
        self.troubled_since: float | None = None
        self._limit, self._most, self._doubling = float(min(FIRST_LIMIT, most)), most, True
        self._troubles, self._last_trouble = 0, -math.inf

    @property
    def limit(self) -> int:
        """Requests that it is given at a time: one, to see how it is, until it has answered again after a trouble."""
        return int(self._limit) if self.troubled_since is None else 1

    def went_well(self) -> None:
        """It answered."""
        self._troubles, self.troubled_since = 0, None
        if self.in_flight >= self.limit - 1:  # what was not used says nothing of more
            self._limit = min(self._most, self._limit + (1 if self._doubling else 1 / self._limit))

    def slowed(self, begun: float, now: float) -> None:
        """A request begun at that time shows that it has too many at once. Others of the same time are no news."""
        if begun > self._last_trouble:
            self._limit, self._doubling, self._last_trouble = max(1.0, self._limit / 2), False, now

    def failed(self, begun: float, now: float, retry_after: float | None) -> None:
        """It is down, or takes no more: it rests as long as it asks for, or longer each time."""
        if begun > self._last_trouble:
            self._troubles += 1
        self.slowed(begun, now)
        if self.troubled_since is None:
            self.troubled_since = now
        self.rests_until = max(self.rests_until, now + pause(self._troubles, retry_after))


class Servers:
    """All addresses."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.all = list(servers)

    def free(self, now: float) -> Server | None:
        """The one with the fewest requests under way of those that take one; None if none does."""
        able = [server for server in self.all if server.rests_until <= now and server.in_flight < server.limit]
        return min(able, key=lambda server: server.in_flight, default=None)

    def next_start(self) -> float:
        """When the first of those that rest can be asked again."""
        return min(server.rests_until for server in self.all)

    def troubled_for(self, now: float) -> float:
        """For how long every one has answered nothing; 0 if one has no trouble."""
        since = [server.troubled_since for server in self.all]
        return min((now - at for at in since if at is not None), default=0.0) if None not in since else 0.0


def pause(times: int, retry_after: float | None = None) -> float:
    """Seconds to wait after something failed so many times in a row: what the server asks for and a little more, or twice as
    long each time; with jitter, so that not all come back at once.
    """
    if retry_after is not None:
        return retry_after + random.uniform(0, min(1.0, 0.1 * retry_after))
    return min(LONGEST_REST, FIRST_REST * 2.0 ** min(times - 1, 10)) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3); None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
