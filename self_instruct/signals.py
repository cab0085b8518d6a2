"""Ending a run cleanly on SIGTERM, SIGINT and SIGUSR1, which schedulers send ahead of the time limit, or when its time is up.

The first signal asks the engine to return what is whole; a second SIGINT ends the process at once.
"""

import signal
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interruption:
    """Remembers the first signal. `received` is its number, or None."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._time_is_up: str | None = None
        self._on_signal: Callable[[], None] = lambda: None
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def tell(self, on_signal: Callable[[], None]) -> None:
        """Calls a function at the first signal, at once if there was one already."""
        self._on_signal = on_signal
        if self.reason():
            on_signal()

    def after(self, seconds: float, reason: str) -> None:
        """Ends the run after so many seconds, for that reason, without a signal from outside."""

        def ring(number: int, frame: FrameType | None) -> None:
            self._time_is_up = reason
            self._on_signal()

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def reason(self) -> str | None:
        """Why the run is to end, or None."""
        return self._time_is_up if self.received is None else f"{signal.Signals(self.received).name} was received"

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if self.received is None:
            self.received = number
        self._on_signal()
