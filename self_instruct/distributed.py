"""Several processes, one run: every rank generates, rank 0 alone composes, judges and writes.

Requests are shared through the key-value store that the launcher sets up (`accelerate launch` or torchrun), by tickets:
a rank that is free takes the next one. There is no collective operation, so no rank ever waits for a slower one. The
store is trusted like the launcher that made it; only JSON passes through it.
"""

import contextlib
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
LAST_CALL = 1.0
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


class StoreGone(UserError):
    """The launcher's store does not answer any more, because the launcher or rank 0 has ended."""


class Store:
    """The launcher's key-value store, whose every failure is a `StoreGone`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def add(self, key: str, number: int) -> int:
        """Adds to a counter and returns its new value; no two ranks get the same."""
        return self._call("add", key, number)

    def has(self, key: str) -> bool:
        """Whether the key was set."""
        return self._call("check", [key])

    def put(self, key: str, value: Any) -> None:
        """Sets a key to a value, as JSON."""
        self._call("set", key, json.dumps(value))

    def take(self, key: str) -> Any:
        """The value of a key, which is deleted."""
        value = json.loads(self._call("get", key))
        self._call("delete_key", key)
        return value

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._store, name)(*arguments)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise StoreGone(
                f"the launcher's store is gone ({reason}); the same command goes on with the run"
            ) from error


def connect(world: World) -> Store:
    """The launcher's store, the same for all ranks. Raises `UserError` if it cannot be reached."""
    import torch.distributed

    try:
        store, _, _ = next(torch.distributed.rendezvous("env://", timeout=timedelta(minutes=5)))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"rank {world.rank} of {world.size} cannot reach the launcher's store: {error}") from error
    return Store(torch.distributed.PrefixStore("self_instruct", store))


class _Share:
    """The tickets that one rank has taken and the engine that works on them."""

    def __init__(self, engine: Engine, store: Store, batch_size: int) -> None:
        self._engine, self._store, self._batch_size = engine, store, batch_size
        self._tickets: deque[int] = deque()
        self.pending = 0

    def work(self) -> list[Completion]:
        """Takes tickets for a batch, hands over those that were submitted, and generates if there are any."""
        while len(self._tickets) + self.pending < self._batch_size:
            self._tickets.append(self._store.add("taken", 1) - 1)
        while self._tickets and self._store.has(f"request/{self._tickets[0]}"):
            row = self._store.take(f"request/{self._tickets.popleft()}")
            self._engine.submit([Request(**{**row, "stop": tuple(row["stop"])})])
            self.pending += 1
        completions = self._engine.poll() if self.pending else []
        self.pending -= len(completions)
        return completions


class SharedEngine:
    """All ranks' engines as one, for rank 0, which generates too."""

    def __init__(self, engine: Engine, store: Store, batch_size: int) -> None:
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
            self._store.put(f"request/{self._submitted}", asdict(request))
            self._submitted += 1

    def poll(self) -> list[Completion]:
        """What this rank has generated and what the others have handed in since."""
        while self._answered < self._submitted and not self._interrupted:
            completions = self._share.work()
            try:
                completions += self._handed_in()
            except StoreGone:
                if not completions:  # else they are journalled first, and the next poll tells
                    raise
            self._answered += len(completions)
            if completions:
                return completions
            if not self._share.pending:
                time.sleep(_PAUSE)
        # The other ranks got the signal too; what they have finished is on its way.
        time.sleep(LAST_CALL)
        return self._handed_in()

    def interrupt(self) -> None:
        """Ends this rank's generation; the other ranks get the same signal from the launcher."""
        self._interrupted = True
        self._engine.interrupt()

    def close(self) -> None:
        """Tells the other ranks that there is no more to do."""
        with contextlib.suppress(StoreGone):
            self._store.put("closed", True)
        self._engine.close()

    def _handed_in(self) -> list[Completion]:
        completions = []
        while self._store.has(f"completion/{self._collected}"):
            completions.append(Completion(**self._store.take(f"completion/{self._collected}")))
            self._collected += 1
        return completions


def serve(engine: Engine, store: Store, batch_size: int, interrupted: Callable[[], str | None]) -> None:
    """What every other rank does: generates what it takes, hands it in, and ends when rank 0 or a signal says so."""
    share = _Share(engine, store, batch_size)
    try:
        while not store.has("closed"):
            ends = interrupted()
            completions = share.work() if not ends else engine.poll()
            for completion in completions:
                store.put(f"completion/{store.add('handed_in', 1) - 1}", asdict(completion))
            if ends:
                break
            if not completions:
                time.sleep(_PAUSE)
    except StoreGone as error:
        # Where rank 0 keeps the store, it is gone as soon as rank 0 has what it wanted.
        _log.warning("%s", error)
    engine.close()
