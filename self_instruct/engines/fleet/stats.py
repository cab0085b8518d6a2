"""Throughput, idle time, batch rows, devices and memory of the generating processes, and their sums over a launch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from self_instruct.engines.local.row_search import RowsTried

LEAST_SECONDS = 10.0
"""The least time after a search for rows from which a throughput is computed."""


@dataclass(frozen=True)
class Stats:
    """Measurements of one process. `tokens`, `steps`, `seconds` and `waited` count from its first request; `waited` is the time
    in seconds without a request to work on. `rows` is the batch size now, `rows_at_first` the one before memory ever ran out.
    `devices` counts accelerators; `taken` is peak memory, `memory` total, in bytes. `rows_tried` holds the fields of RowsTried
    if the process searches for its number of rows, and `search_tokens` and `search_seconds` count until the search ended.
    """

    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    rows: int = 0
    rows_at_first: int = 0
    name: str = ""
    devices: int = 0
    taken: int = 0
    memory: int = 0
    rows_tried: dict[str, Any] | None = None
    search_tokens: int = 0
    search_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """The throughput since the search for rows ended if that is long enough, else since the first request."""
        seconds = self.seconds - self.search_seconds
        if self.search_seconds and seconds >= LEAST_SECONDS:
            return (self.tokens - self.search_tokens) / seconds
        return self.tokens / self.seconds if self.seconds else 0.0


def tokens_per_second(fleet: Sequence[Stats]) -> float:
    """Return the throughput of all processes together."""
    return sum(stats.tokens_per_second for stats in fleet)


def rows_tried(fleet: Sequence[Stats]) -> RowsTried | None:
    """Return what the first process has found in its search for rows; None without a search."""
    tried = fleet[0].rows_tried if fleet else None
    return RowsTried(**tried) if tried else None


def idleness(fleet: Sequence[Stats]) -> float:
    """Return the share of their time in which the processes had no request to work on."""
    seconds = sum(stats.seconds for stats in fleet)
    return sum(stats.waited for stats in fleet) / seconds if seconds else 0.0


def occupancy(fleet: Sequence[Stats]) -> float:
    """Return the share of the batch rows that produced a token, over all steps."""
    rows = sum(stats.steps * stats.rows for stats in fleet)
    return sum(stats.tokens for stats in fleet) / rows if rows else 0.0


def devices(fleet: Sequence[Stats]) -> int:
    """Return the number of accelerators in use."""
    return sum(stats.devices for stats in fleet)


def memory_lines(fleet: Sequence[Stats]) -> list[str]:
    """Return one line for each process: its batch rows and its peak memory."""
    return [
        f"{stats.rows} rows on {stats.name}, peak memory {stats.taken / 1e9:.1f} of {stats.memory / 1e9:.1f} GB"
        + (f"; memory ran out with {stats.rows_at_first} rows" if stats.rows < stats.rows_at_first else "")
        for stats in fleet
        if stats.rows
    ]
