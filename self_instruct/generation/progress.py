"""Show the progress of a run and of a replay: a bar on a terminal; elsewhere, and in the log, a line every minute."""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from self_instruct.errors import FILE_ONLY
from self_instruct.runs.funnel import Funnel

LINE_EVERY = 60.0
REFRESH_EVERY = 0.2
REPLAYED = "completions replayed"
"""The unit of a replay."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Load:
    """How busy generation is: `in_flight` of `rows` rows, the peak memory `taken` of `memory` bytes, and the accelerators."""

    in_flight: int
    rows: int
    taken: int = 0
    memory: int = 0
    devices: int = 0

    def __str__(self) -> str:
        place = "device memory" if self.devices else "generation's memory"
        memory = f", {place} {self.taken / 1e9:.1f} of {self.memory / 1e9:.1f} GB" if self.memory else ""
        return f"{self.in_flight} of {self.rows} rows in flight{memory}"


class Progress:
    """Shows the accepted records, the target, the yield, tokens per second and the time left, once `begin` is called.

    `unit` names what is counted; only records have a yield, and without tokens there is no speed. `every` is the number of
    seconds between lines. `observers` are called with the funnel and the tokens per second after each `update`; `load` returns
    the load to show in a line.
    """

    def __init__(
        self, target: int, stream: TextIO | None = None, unit: str = "records", every: float = LINE_EVERY
    ) -> None:
        self._target, self._stream, self._unit, self._every = target, stream or sys.stderr, unit, every
        self._begun = self._logged_at = self._shown_at = time.monotonic()
        self._tokens = self._first = self._accepted = 0
        self._yield = 0.0
        self._bar: Any = None
        self._shown = False
        self.load: Callable[[], Load] | None = None
        self.observers: list[Callable[[Funnel, float], None]] = []

    def begin(self, accepted: int) -> None:
        """Start the clock, with the number of records from earlier launches."""
        self._begun = self._logged_at = self._shown_at = time.monotonic()
        self._first = self._accepted = accepted
        self._shown = True
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._target, initial=accepted, unit=f" {self._unit}", file=self._stream, dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}{postfix}]",
            )  # fmt: skip

    def step(self, tokens: int) -> None:
        """Count newly generated tokens."""
        self._tokens += tokens
        if self._shown:
            self._show()

    def update(self, funnel: Funnel) -> None:
        """Show the counts after completions were decided on, and call the observers."""
        self._yield = funnel.yield_of_written
        self.reach(funnel.accepted)
        for observe in self.observers:
            observe(funnel, self.tokens_per_second)

    def reach(self, done: int) -> None:
        """Show the number of units done."""
        if self._bar is not None:
            self._bar.update(done - self._accepted)
        self._accepted = done
        self._show()

    def close(self) -> None:
        """Close the bar, with the figures of the whole launch."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._postfix(), refresh=False)
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Seconds since the launch began to generate."""
        return time.monotonic() - self._begun

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second of all processes, since the launch began to generate."""
        return self._tokens / max(self.seconds, 1e-9)

    def _show(self) -> None:
        now = time.monotonic()
        if self._bar is not None and now - self._shown_at >= REFRESH_EVERY:
            self._shown_at = now
            self._bar.set_postfix_str(self._postfix())
        if now - self._logged_at >= self._every:
            self._logged_at = now
            self._log_line()

    def _postfix(self) -> str:
        return ", ".join([f"ETA {clock(self._seconds_left())}", *self._speed()])

    def _speed(self) -> list[str]:
        rate = [f"yield {self._yield:.0%}"] if self._unit == "records" else []
        return [*rate, f"{self.tokens_per_second:,.0f} tokens/s"] if rate or self._tokens else []

    def _log_line(self) -> None:
        """Log one line with the figures: to the log file, and to the error stream where there is no bar."""
        done = "accepted" if self._unit == "records" else self._unit
        left, memory, load = self._seconds_left(), resident(), self.load() if self.load is not None else None
        parts = [f"{done} {self._accepted}/{self._target}", *self._speed(), f"ETA {clock(left)}"]
        parts += [f"{load}"] if load is not None else []
        figures = {
            "done": self._accepted, "target": self._target, "unit": self._unit, "yield": round(self._yield, 4),
            "tokens_per_second": round(self.tokens_per_second, 1), "seconds_left": left, "resident": memory,
            **(asdict(load) if load is not None else {}),
        }  # fmt: skip
        event = "replay" if self._unit == REPLAYED else "heartbeat"
        only_file = FILE_ONLY if self._bar is not None else {}
        message = ", ".join([*parts, f"memory {memory / 1e9:.1f} GB"])
        _log.info("%s", message, extra={"figures": {"event": event, **figures}, **only_file})

    def _seconds_left(self) -> int | None:
        gained = self._accepted - self._first
        return round(self.seconds / gained * (self._target - self._accepted)) if gained else None


def clock(seconds: float | None) -> str:
    """Return a duration as H:MM:SS, the form of every estimate of the time left; "unknown" for None and infinity."""
    if seconds is None or seconds == float("inf"):
        return "unknown"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def resident() -> int:
    """Return the resident memory of this process, in bytes."""
    import psutil

    return psutil.Process().memory_info().rss
