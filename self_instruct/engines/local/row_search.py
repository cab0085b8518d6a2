"""Search for the number of rows above which a model generates hardly any faster, while it generates.

The search begins with one row. It doubles the rows up to 16, and further as long as that gains speed: two rows can be slower
than one although many are several times as fast, as measured on a CPU. It only decides how many rows may be admitted:
rows that are being generated stay. The speed of a number of rows is the median over full steps, so slow steps, such as those
that also read a prompt, have no effect while they are fewer than half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

WINDOW = 16
"""The number of full steps from which a speed is computed."""
GAIN = 0.1
"""The gain of speed for which more rows are taken."""
ALWAYS_TRIED = 16
"""The search does not end with fewer rows for want of a gain."""
FULL = 7 / 8
"""The share of the rows that draw a token in a full step: an accelerator leaves some rows free before it admits others."""
SHORT_STEPS, SHORT_SECONDS = WINDOW, 5.0
"""After this many steps without enough rows, in at least this many seconds, the search ends. New requests arrive sooner."""

Ended = Literal["gain", "limit", "memory", "requests"]
"""Why a search ended: more rows gained too little, no more are allowed, memory ran out, or requests could not fill them."""


@dataclass(frozen=True)
class BatchSize:
    """How many rows an engine generates together: `given`, or as many as fit into memory.

    With `search`, the engine searches for the number while it generates. `found` are the numbers that earlier searches have
    found, by the hardware that they ran on.
    """

    given: int | None = None
    search: bool = False
    found: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RowsTried:
    """What a search has found: the tokens per second of each number of rows that it tried, in order, and the `rows` now.

    `ended` is None while the search goes on. `hardware` describes what the speeds were measured on.
    """

    speeds: Sequence[tuple[int, float]]
    rows: int
    ended: Ended | None
    hardware: str

    @property
    def conclusive(self) -> bool:
        """Whether the search has found the rows to use. Too few requests say nothing about more rows."""
        return self.ended not in (None, "requests")

    def line(self) -> str:
        """Return the result as text."""
        speeds = [f"{rows}: {speed:,.{int(speed < 10)}f}" for rows, speed in self.speeds]
        speeds[:1] = [f"{speed} tokens/s" for speed in speeds[:1]]
        tried = f"Rows {', '.join(speeds)}" if speeds else "Rows: none were measured"
        if self.conclusive:
            why = {"gain": "", "limit": ", the most that are allowed", "memory": ", because memory ran out with more"}
            return f"{tried} -> {self.rows} row{'s' * (self.rows > 1)}{why[self.ended or 'gain']}."
        if self.ended is None:
            return f"{tried}; the pilot ended before the search for the best number of rows; raise --plan_seconds."
        return (
            f"{tried}; there were too few requests at a time for {self.rows} rows, so the best number is not known. --horizon "
            "and --max_requests limit the requests."
        )


@dataclass
class RowSearch:
    """Chooses the number of rows, at most `most`, from the tokens and seconds of each step. `rows` is the number to use now."""

    most: int
    hardware: str = ""
    rows: int = 1
    ended: Ended | None = None
    _speeds: list[tuple[int, float]] = field(default_factory=list)
    _steps: list[float] = field(default_factory=list)
    _windows: list[float] = field(default_factory=list)
    _short_steps: int = 0
    _short_seconds: float = 0.0

    def record(self, tokens: int, seconds: float) -> None:
        """Record a step in which `tokens` rows drew a token; change `rows` once enough is known."""
        if self.ended is not None:
            return
        if tokens < FULL * self.rows:
            self._short_steps, self._short_seconds = self._short_steps + 1, self._short_seconds + seconds
            if self._short_steps >= SHORT_STEPS and self._short_seconds >= SHORT_SECONDS:
                self.ended = "requests"
            return
        self._steps.append(tokens / max(seconds, 1e-9))
        if len(self._steps) == WINDOW:
            self._windows.append(median(self._steps))
            self._steps.clear()
            self._decide()

    def run_out(self, rows: int) -> None:
        """End the search: memory ran out, and the engine continues with `rows` rows."""
        self.rows, self.ended = rows, "memory"

    def tried(self) -> RowsTried:
        """Return what has been found so far."""
        return RowsTried(tuple(self._speeds), self.rows, self.ended, self.hardware)

    def _decide(self) -> None:
        """Compare the speed with those of fewer rows. If it gains too little, first measure a second window, because other work
        on the machine can slow one down.
        """
        speed = max(self._windows)
        gains = speed >= max((before for _, before in self._speeds), default=0.0) * (1 + GAIN)
        if not gains and len(self._windows) == 1:
            return
        self._speeds.append((self.rows, speed))
        if self.rows < self.most and (gains or self.rows < ALWAYS_TRIED):
            self.rows = min(2 * self.rows, self.most)
            self._windows.clear()
            self._short_steps, self._short_seconds = 0, 0.0
            return
        fastest = max(speed for _, speed in self._speeds)
        self.rows = next(rows for rows, speed in self._speeds if speed * (1 + GAIN) > fastest)
        self.ended = "limit" if self.rows == self.most else "gain"
