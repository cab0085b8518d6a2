"""Run vLLM's steps in a thread of their own, because vLLM waits forever for an engine process that was killed."""

from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

_CHECK_SECONDS = 1.0


class Stepper:
    """Calls `step`; while it takes long, asks `lost` whether one of vLLM's processes has ended."""

    def __init__(self, step: Callable[[], Sequence[Any]], lost: Callable[[], bool]) -> None:
        self._step, self._lost = step, lost
        self._calls = SimpleQueue[bool]()
        self._results = SimpleQueue[Sequence[Any] | Exception]()
        # A daemon: if vLLM's processes are lost, the thread never returns.
        Thread(target=self._run, name="vllm step", daemon=True).start()

    def step(self) -> Sequence[Any]:
        """Return the outputs of a step. Raises what `step` raises, and RuntimeError if a process of vLLM has ended."""
        self._calls.put(True)
        ended = False
        while True:
            try:
                found = self._results.get(timeout=_CHECK_SECONDS)
            except Empty:
                if ended:
                    raise RuntimeError("one of its processes was killed") from None
                ended = self._lost()  # wait once more: vLLM may have a message of its own
                continue
            if isinstance(found, Exception):
                raise found
            return found

    def close(self) -> None:
        """End the thread, unless it waits for vLLM."""
        self._calls.put(False)

    def _run(self) -> None:
        while self._calls.get():
            try:
                self._results.put(self._step())
            except Exception as error:
                self._results.put(error)
