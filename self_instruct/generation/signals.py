"""Ending a run cleanly on SIGTERM, SIGINT and SIGUSR1, which schedulers send ahead of the time limit, or when its time is up.

The first signal asks the engine to return what is whole; a second SIGINT ends the process at once, and so does any signal
while there is nothing yet to be saved.
"""

import signal
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(SystemExit):
    """A signal came before there was anything to be saved. `number` is the signal's, the exit code 128 more."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name} was received"


class Interruption:
    """Remembers the first signal. `received` is its number, or None. Before `tell` a signal raises `Interrupted`."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._time_is_up: str | None = None
        self._on_signal: Callable[[], None] | None = None
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def tell(self, on_signal: Callable[[], None]) -> None:
        """Calls a function at the first signal and at the end of the time, at once if there was one already."""
        self._on_signal = on_signal
        if self.reason():
            on_signal()

    def after(self, seconds: float, reason: str) -> None:
        """Ends the run after so many seconds, for that reason, without a signal from outside."""

        def ring(number: int, frame: FrameType | None) -> None:
            self._time_is_up = reason
            if self._on_signal is not None:
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
        if self.received is None:  # one signal may come while another is handled, and what it calls need not bear that
            self.received = number
            if self._on_signal is None:
                raise Interrupted(number)
            self._on_signal()
