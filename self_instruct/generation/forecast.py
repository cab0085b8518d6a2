"""Forecast a run from a pilot: speed, tokens a record, time, GPU-hours and cost to the target.

The pilot is the beginning of the run, so its completions are kept. The forecast assumes a constant yield, although the yield
falls when a model begins to repeat itself; the range only reflects the differences between the pilot's requests.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from self_instruct.generation.progress import clock

CONFIDENCE = 1.96  # standard errors to either side: 95 %


@dataclass(frozen=True)
class Forecast:
    """The work for `records` more records. `tokens_per_record` is (expected, low, high); `price` is that of one GPU-hour."""

    records: int
    tokens_per_second: float
    tokens_per_record: tuple[float, float, float]
    devices: int
    price: float | None = None

    @property
    def hours(self) -> tuple[float, float, float]:
        """Hours to the target: expected, low, high."""
        expected, low, high = (
            self.records * tokens / self.tokens_per_second / 3600 for tokens in self.tokens_per_record
        )
        return expected, low, high

    def lines(self) -> list[str]:
        """Return the forecast as lines of text."""
        rows = [
            ("tokens a second", f"{self.tokens_per_second:,.0f}"),
            ("new tokens a record", _range(self.tokens_per_record)),
            ("records to go", f"{self.records:,}"),
            ("time to go", _range(self.hours, lambda hours: clock(3600 * hours))),
        ]
        if self.devices:
            spent = [hours * self.devices for hours in self.hours]
            rows.append((f"GPU-hours on {self.devices} GPU{'s' * (self.devices > 1)}", _range(spent)))
            if self.price is not None:
                rows.append((f"cost at {self.price:g} an hour", _range([hours * self.price for hours in spent])))
        return [f"  {name:<26} {value}" for name, value in rows]


def tokens_per_record(samples: Sequence[tuple[int, int]]) -> tuple[float, float, float] | None:
    """Return expected, low and high tokens per accepted record, from (tokens, accepted) of each request; None without records.

    A ratio of sums, with its standard error by linearisation (cochran1977sampling, 6.4). One request gives an open range.
    """
    tokens, accepted = (sum(column) for column in zip(*samples, strict=True)) if samples else (0, 0)
    if not accepted:
        return None
    ratio, number = tokens / accepted, len(samples)
    if number < 2:
        return ratio, 0.0, math.inf
    spread = sum((wrote - ratio * kept) ** 2 for wrote, kept in samples) / (number - 1)
    error = math.sqrt(spread / number) / (accepted / number)
    return ratio, max(0.0, ratio - CONFIDENCE * error), ratio + CONFIDENCE * error


def _number(value: float) -> str:
    if math.isinf(value):
        return "unknown"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(values: Sequence[float], show: Callable[[float], str] = _number) -> str:
    expected, low, high = map(show, values)
    return f"{expected} ({low} to {high})"
