"""Several processes, one run: every rank generates, rank 0 alone composes, judges and writes.

Requests are shared through the key-value store that the launcher sets up (`accelerate launch` or torchrun), by tickets:
a rank that is free takes the next one. There is no collective operation, so no rank ever waits for a slower one. The
store is trusted like the launcher that made it; only JSON passes through it.
"""

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from self_instruct.engines.base import Completion, Engine, Request
from self_instruct.errors import UserError

_PAUSE = 0.005
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class World:
    """This process among those of the launch."""

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        """Whether this rank judges and writes."""
        return self.rank == 0


def current_world() -> World:
    """The world that the launcher's environment variables describe; one process where there are none.

    Raises `UserError` when they contradict each other: two processes that both took themselves for the only one would
    write the same files.
    """
    names = ("RANK", "WORLD_SIZE")
    values = [os.environ.get(name) for name in names]
    if values == [None, None]:
        return World(0, 1)
    try:
        rank, size = (int(value or "") for value in values)
    except ValueError:
        rank, size = -1, 0
    if not 0 <= rank < size:
        shown = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise UserError(
            f"the environment holds {shown}, which is no world; start with accelerate launch, torchrun, or neither"
        )
    return World(rank, size)


def connect(world: World) -> Any:
    """The launcher's store, the same for all ranks. Raises `UserError` if it cannot be reached."""
    import torch.distributed

    try:
        store, _, _ = next(torch.distributed.rendezvous("env://", timeout=timedelta(minutes=5)))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"rank {world.rank} of {world.size} cannot reach the launcher's store: {error}") from error
    return torch.distributed.PrefixStore("self_instruct", store)


class _Share:
    """The tickets that one rank has taken and the engine that works on them."""

    def __init__(self, engine: Engine, store: Any, batch_size: int) -> None:
        self._engine, self._store, self._batch_size = engine, store, batch_size
        self._tickets: deque[int] = deque()
        self.pending = 0

    def work(self) -> list[Completion]:
        """Takes tickets for a batch, hands over those that were submitted, and generates if there are any."""
        while len(self._tickets) + self.pending < self._batch_size:
            self._tickets.append(self._store.add("taken", 1) - 1)
        while self._tickets and self._store.check([f"request/{self._tickets[0]}"]):
            row = json.loads(self._store.get(f"request/{self._tickets.popleft()}"))
            self._engine.submit([Request(**{**row, "stop": tuple(row["stop"])})])
            self.pending += 1
        completions = self._engine.poll() if self.pending else []
        self.pending -= len(completions)
        return completions


class SharedEngine:
    """All ranks' engines as one, for rank 0, which generates too."""

    def __init__(self, engine: Engine, store: Any, batch_size: int) -> None:
        self._engine, self._store = engine, store
        self._share = _Share(engine, store, batch_size)
        self._submitted = self._answered = self._collected = 0
        self._interrupted = False
        self.context_length, self.capacity = engine.context_length, engine.capacity
        self.model_revision = engine.model_revision

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """As the model reads it; the model is the same on all ranks."""
        return self._engine.prompt_tokens(prompt, opening)

    def submit(self, requests: Sequence[Request]) -> None:
        """Puts requests where any rank can take them."""
        for request in requests:
            self._store.set(f"request/{self._submitted}", json.dumps(asdict(request)))
            self._submitted += 1

    def poll(self) -> list[Completion]:
        """What this rank has generated and what the others have handed in since."""
        while self._answered < self._submitted and not self._interrupted:
            completions = self._share.work()
            try:
                completions += self._handed_in()
            except RuntimeError as error:  # the store is gone, and with it the launcher
                if not completions:
                    raise UserError(
                        f"the launcher's store is gone ({error}); the same command goes on with the run"
                    ) from error
            self._answered += len(completions)
            if completions:
                return completions
            if not self._share.pending:
                time.sleep(_PAUSE)
        return self._handed_in()

    def interrupt(self) -> None:
        """Ends this rank's generation; the other ranks get the same signal from the launcher."""
        self._interrupted = True
        self._engine.interrupt()

    def close(self) -> None:
        """Tells the other ranks that there is no more to do."""
        self._store.set("closed", b"1")
        self._engine.close()

    def _handed_in(self) -> list[Completion]:
        completions = []
        while self._store.check([f"completion/{self._collected}"]):
            key = f"completion/{self._collected}"
            completions.append(Completion(**json.loads(self._store.get(key))))
            self._store.delete_key(key)
            self._collected += 1
        return completions


def serve(engine: Engine, store: Any, batch_size: int, interrupted: Callable[[], str | None]) -> None:
    """What every other rank does: generates what it takes, hands it in, and ends when rank 0 or a signal says so."""
    import torch.distributed

    share = _Share(engine, store, batch_size)
    try:
        while not store.check(["closed"]) and not interrupted():
            completions = share.work()
            for completion in completions:
                store.set(f"completion/{store.add('handed_in', 1) - 1}", json.dumps(asdict(completion)))
            if not completions:
                time.sleep(_PAUSE)
    except torch.distributed.DistError as error:
        # Where rank 0 keeps the store, it is gone as soon as rank 0 has what it wanted.
        _log.warning("the store is gone (%s); this rank ends", error)
    engine.close()
