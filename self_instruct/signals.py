"""Ending a run cleanly on SIGTERM, SIGINT and SIGUSR1, which schedulers send ahead of the time limit.

The first signal asks the engine to return what is whole; a second SIGINT ends the process at once.
"""

import signal
from collections.abc import Callable
from types import FrameType


class Interruption:
    """Remembers the first signal. `received` is its number, or None."""

    def __init__(self, on_signal: Callable[[], None]) -> None:
        self.received: int | None = None
        self._on_signal = on_signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def reason(self) -> str | None:
        """Why the run is to end, or None."""
        return None if self.received is None else f"{signal.Signals(self.received).name} was received"

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if self.received is None:
            self.received = number
        self._on_signal()
