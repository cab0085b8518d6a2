"""End a run cleanly on SIGTERM, SIGINT and SIGUSR1, which schedulers send ahead of the time limit, or when its time is up.

The first signal asks the engine to return its finished completions. A second SIGINT ends the process at once, and so does any
signal before there is anything to save.
"""

import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from self_instruct.errors import UserError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1
_LAUNCHER = re.compile(rb"(?:^|/)accelerate(?:-launch)?$")


class Interrupted(SystemExit):
    """A signal came before there was anything to save. The exit code is 128 plus the `number` of the signal. `send_again` sends
    the signal once more.
    """

    def __init__(self, number: int, send_again: Callable[[int], None]) -> None:
        super().__init__(128 + number)
        self.number, self.send_again = number, send_again

    def __str__(self) -> str:
        return f"{signal.Signals(self.number).name} was received"


class Interruption:
    """Handles the signals, and remembers the first: `received` is its number, or None. Before `set_callback` is called, a
    signal raises `Interrupted`.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._timeout: str | None = None
        self._callback: Callable[[], None] | None = None
        for number in SIGNALS:
            signal.signal(number, self._handle)
        if not isinstance(sys.unraisablehook, _DroppedHook):
            sys.unraisablehook = _DroppedHook(sys.unraisablehook)

    def set_callback(self, callback: Callable[[], None]) -> None:
        """Call a function at the first signal and when the time is up, and now if one of them has already happened."""
        self._callback = callback
        if self.reason():
            callback()

    def stop_after(self, seconds: float, reason: str) -> None:
        """End the run after this many seconds, for this reason."""

        def handle_alarm(number: int, frame: FrameType | None) -> None:
            self._timeout = reason
            if self._callback is not None:
                self._callback()

        signal.signal(signal.SIGALRM, handle_alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def reason(self) -> str | None:
        """Return the reason to end the run, or None."""
        return self._timeout if self.received is None else f"{signal.Signals(self.received).name} was received"

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if self.received is None:  # not re-entrant: ignore signals while handling one
            self.received = number
            if self._callback is None:
                raise Interrupted(number, self._send_again)
            self._callback()

    def _send_again(self, number: int) -> None:
        self.received = None
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()  # when the call that dropped it has returned


class _DroppedHook:
    """Sends a signal again if Python drops its exception, as it does in finalisers and in callbacks of C code. Other dropped
    exceptions go to the hook `before`.
    """

    def __init__(self, before: Callable[[Any], object]) -> None:
        self._before = before

    def __call__(self, dropped: Any) -> None:
        if isinstance(dropped.exc_value, Interrupted):
            dropped.exc_value.send_again(dropped.exc_value.number)
        else:
            self._before(dropped)


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when its parent ends."""
    with suppress(OSError, AttributeError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_launcher() -> None:
    """Let Linux send SIGTERM to this process when the `accelerate launch` that started it ends.

    With one process, `accelerate launch` does not pass signals on, so a run whose launcher was terminated would keep its GPU.
    Under any other parent, such as a shell, the run continues when the parent ends.
    """
    with suppress(OSError):
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")
        # A script is the second word, after its interpreter; `python -m accelerate.commands.launch` names the module's file.
        if any(_LAUNCHER.search(word) for word in command[:2]) or command[1:3] == [
            b"-m",
            b"accelerate.commands.launch",
        ]:
            end_with_parent()


@contextmanager
def handled_signals() -> Iterator[None]:
    """Restore the caller's signal handlers on exit, for runs that are started from Python.

    Raises UserError outside of the main thread, because only the main thread can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError(
            "a run handles signals, which only the main thread can do; call it from the main thread or in another process"
        )
    before, hook = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}, sys.unraisablehook
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def raise_signal(code: int) -> None:
    """Raise KeyboardInterrupt for the exit code of SIGINT, and SystemExit for that of another signal."""
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code > 128:
        raise SystemExit(code)
