"""End a run cleanly on SIGTERM, SIGINT and SIGUSR1, which schedulers send ahead of the time limit, or when its time is up.

The first signal asks the engine to return its finished completions. A second SIGINT ends the process at once, and so does any
signal before there is anything to save.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from self_instruct.errors import UserError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(SystemExit):
    """A signal came before there was anything to be saved. `number` is the signal's, the exit code 128 more."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name} was received"


class Interruption:
    """Remembers the first signal. `received` is its number, or None. Before `tell` is called, a signal raises
    `Interrupted`.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._time_is_up: str | None = None
        self._on_signal: Callable[[], None] | None = None
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def tell(self, on_signal: Callable[[], None]) -> None:
        """Call a function at the first signal or when the time is over, or at once if that has happened already."""
        self._on_signal = on_signal
        if self.reason():
            on_signal()

    def after(self, seconds: float, reason: str) -> None:
        """End the run after this many seconds for this reason, without a signal."""

        def ring(number: int, frame: FrameType | None) -> None:
            self._time_is_up = reason
            if self._on_signal is not None:
                self._on_signal()

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def reason(self) -> str | None:
        """Return the reason to end the run, or None."""
        return self._time_is_up if self.received is None else f"{signal.Signals(self.received).name} was received"

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if self.received is None:  # not re-entrant: ignore signals while handling one
            self.received = number
            if self._on_signal is None:
                raise Interrupted(number)
            self._on_signal()


@contextmanager
def handled_signals() -> Iterator[None]:
    """Put back, at the end, the handlers of signals that a run replaces; for runs that are called from Python.

    Raises UserError outside of the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError(
            "a run handles signals, so it is called from the main thread only; start it in a process of its own"
        )
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_signal(code: int) -> None:
    """Raise KeyboardInterrupt for the exit code of SIGINT, and SystemExit for that of another signal."""
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code > 128:
        raise SystemExit(code)
