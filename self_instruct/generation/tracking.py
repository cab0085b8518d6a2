"""Report the figures of a run to TensorBoard or Weights & Biases, through accelerate's trackers.

Only rank 0 reports. A tracker that fails is dropped with a warning; it never ends a run.
"""

import logging
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.runs.funnel import Funnel

REPORT_EVERY = 10.0
PROJECT = "self-instruct"
_log = logging.getLogger(__name__)


def check_installed(name: str) -> None:
    """Raise `UserError` if a tracker's package is missing."""
    if name != "none" and find_spec(name) is None:
        raise UserError(f"--report_to {name} needs its package: pip install {name}; or leave --report_to out")


class Tracker:
    """Reports a run directory. `compared` is the number of seeds, which `pool_size` counts beside the accepted records.

    The step of a figure is the number of requests decided on, so that a continued run continues its curves.
    """

    def __init__(self, name: str, folder: Path, compared: int, options: dict[str, Any]) -> None:
        self._name, self._compared = name, compared
        self._reported, self._last = float("-inf"), -1
        self._tracker: Any = None
        self._tracker = self._attempt(lambda: _started(name, folder, options))

    def update(self, funnel: Funnel, tokens_per_second: float) -> None:
        """Report the figures, at most every REPORT_EVERY seconds."""
        if time.monotonic() - self._reported >= REPORT_EVERY:
            self.report(funnel, tokens_per_second)

    def report(self, funnel: Funnel, tokens_per_second: float) -> None:
        """Report the current figures, unless they have already been reported."""
        if self._tracker is None or funnel.requests == self._last:
            return
        self._reported, self._last = time.monotonic(), funnel.requests
        reported = figures(funnel, tokens_per_second, self._compared)
        self._attempt(lambda: self._tracker.log(reported, step=funnel.requests))

    def close(self) -> None:
        """Finish the tracker."""
        if self._tracker is not None:
            self._attempt(self._tracker.finish)

    def _attempt(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # a tracker must not end the run
            self._tracker = None
            _log.warning(
                "--report_to %s failed (%s: %s); the run continues without it", self._name, type(error).__name__, error
            )


def figures(funnel: Funnel, tokens_per_second: float, compared: int) -> dict[str, float]:
    """Return the figures to report: counts, ratios and speed; drops under `drops/STAGE/REASON`."""
    recent = funnel.recent_yield
    return {
        "accepted": funnel.accepted,
        "requests": funnel.requests,
        "yield": funnel.yield_of_written,
        **({"recent_yield": recent} if recent is not None else {}),
        "tokens_per_second": tokens_per_second,
        "completion_tokens": funnel.completion_tokens,
        "pool_size": compared + funnel.accepted,
        **{f"drops/{stage}/{reason}": count for (stage, reason), count in sorted(funnel.drops.items())},
    }


def _started(name: str, folder: Path, options: dict[str, Any]) -> Any:
    from accelerate import PartialState
    from accelerate.tracking import TensorBoardTracker, WandBTracker
    from accelerate.utils import clear_environment

    # With the launcher's variables, accelerate would wait for the other ranks to join a process group, which they never do.
    with clear_environment():
        PartialState(cpu=True)
    if name == "tensorboard":
        tracker: Any = TensorBoardTracker(name, folder)
    else:
        tracker = WandBTracker(PROJECT, name=folder.name, dir=str(folder), config=options)
    tracker.start()
    return tracker
