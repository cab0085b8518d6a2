"""Showing how a run goes: a bar on a terminal, plain lines in a log file. Knows counts and the clock, nothing else."""

import sys
import time
from typing import Any, TextIO

from self_instruct.funnel import Funnel

LINE_EVERY = 15.0
REFRESH_EVERY = 0.2


class Progress:
    """Accepted of target, yield, tokens a second and the time that is left; nothing is shown before `begin`.

    Where something else than records is counted, `unit` names it, and there is no yield.
    """

    def __init__(self, target: int, stream: TextIO = sys.stderr, unit: str = "records") -> None:
        self._target, self._stream, self._unit = target, stream, unit
        self._begun = self._said = time.monotonic()
        self._tokens = self._first = self._accepted = 0
        self._yield = 0.0
        self._bar: Any = None
        self._shown = False

    def begin(self, accepted: int) -> None:
        """Generation begins, with so many records from earlier launches."""
        self._begun = self._said = time.monotonic()
        self._first = self._accepted = accepted
        self._shown = True
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._target, initial=accepted, unit=f" {self._unit}", file=self._stream, dynamic_ncols=True
            )

    def step(self, tokens: int) -> None:
        """Called while tokens are drawn."""
        self._tokens += tokens
        if self._shown:
            self._show()

    def update(self, funnel: Funnel) -> None:
        """Called when completions were judged."""
        self._yield = funnel.yield_
        self.reach(funnel.accepted)

    def reach(self, done: int) -> None:
        """Called when so many are done."""
        if self._bar is not None:
            self._bar.update(done - self._accepted)
        self._accepted = done
        self._show()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Since the launch began to generate."""
        return time.monotonic() - self._begun

    def _show(self) -> None:
        pause = LINE_EVERY if self._bar is None else REFRESH_EVERY
        if time.monotonic() - self._said < pause:
            return
        self._said = time.monotonic()
        speed = f"{self._tokens / max(self.seconds, 1e-9):,.0f} tokens/s"
        done = self._unit
        if self._unit == "records":
            done = "accepted"
            speed = f"yield {self._yield:.0%}, {speed}"
        if self._bar is not None:
            self._bar.set_postfix_str(speed)
            return
        print(f"{done} {self._accepted}/{self._target}, {speed}, ETA {self._eta()}", file=self._stream, flush=True)

    def _eta(self) -> str:
        gained = self._accepted - self._first
        if not gained:
            return "unknown"
        left = round(self.seconds / gained * (self._target - self._accepted))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
