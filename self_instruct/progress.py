"""Showing how a run goes: a bar on a terminal, plain lines in a log file. Knows counts and the clock, nothing else."""

import sys
import time
from typing import TextIO

from self_instruct.report import Funnel

LINE_EVERY = 15.0
REFRESH_EVERY = 0.2


class Progress:
    """Accepted of target, yield, tokens a second and the time that is left, on standard error."""

    def __init__(self, target: int, accepted: int, stream: TextIO = sys.stderr, quiet: bool = False) -> None:
        self._target, self._first, self._stream, self._quiet = target, accepted, stream, quiet
        self._begun = self._said = time.monotonic()
        self._tokens = 0
        self._accepted, self._yield = accepted, 0.0
        self._bar = None
        if stream.isatty() and not quiet:
            from tqdm import tqdm

            self._bar = tqdm(
                total=target, initial=min(accepted, target), unit="record", file=stream, dynamic_ncols=True
            )

    def step(self, tokens: int) -> None:
        """Called while tokens are drawn."""
        self._tokens += tokens
        self._show()

    def update(self, funnel: Funnel) -> None:
        """Called when completions were judged."""
        if self._bar is not None:
            self._bar.update(funnel.accepted - self._accepted)
        self._accepted, self._yield = funnel.accepted, funnel.yield_
        self._show()

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()

    @property
    def tokens_per_second(self) -> float:
        """Tokens drawn by this process since the launch, a second."""
        return self._tokens / max(time.monotonic() - self._begun, 1e-9)

    @property
    def seconds(self) -> float:
        """Since the launch began to generate."""
        return time.monotonic() - self._begun

    def _show(self) -> None:
        if self._bar is not None:
            if time.monotonic() - self._said >= REFRESH_EVERY:
                self._said = time.monotonic()
                self._bar.set_postfix_str(f"yield {self._yield:.0%}, {self.tokens_per_second:,.0f} tokens/s")
        elif not self._quiet and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            print(
                f"accepted {self._accepted}/{self._target}, yield {self._yield:.0%}, "
                f"{self.tokens_per_second:,.0f} tokens/s, ETA {self._eta()}",
                file=self._stream, flush=True,
            )  # fmt: skip

    def _eta(self) -> str:
        gained = self._accepted - self._first
        if not gained:
            return "unknown"
        left = round(self.seconds / gained * (self._target - self._accepted))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
