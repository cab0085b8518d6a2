"""The processes of a launch, as the launcher's environment variables describe them, and how they find each other.

Rank 0 listens; its address and a secret of this launch reach the others through the key-value store that the launcher
(`accelerate launch` or torchrun) has set up. Knows nothing of what is said then.
"""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from self_instruct.errors import UserError

PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True)
class World:
    """This process among those of the launch."""

    rank: int
    size: int

    @property
    def is_main(self) -> bool:
        """Whether this rank composes, judges and writes."""
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


class MeetingPlace:
    """Where rank 0 waits for the others; `listener` accepts their connections, `secret` proves that they belong here.

    Raises `UserError` if the launcher's store or the network cannot be used.
    """

    def __init__(self, world: World) -> None:
        self._store = _launchers_store(world)  # it may be this process that keeps it
        self.secret = secrets.token_bytes(32)
        self.listener = _listen(_main_address())
        port = self.listener.address[1]
        self._store.set("address", json.dumps({"port": port, "secret": self.secret.hex()}))


def connect(world: World) -> Connection:
    """A connection to rank 0, proved on both sides. Raises `UserError` if rank 0 cannot be reached."""
    try:
        address = json.loads(_launchers_store(world).get("address"))
        return Client((_main_address(), address["port"]), authkey=bytes.fromhex(address["secret"]))
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(
            f"rank {world.rank} of {world.size} cannot reach rank 0 at {_main_address()} ({_first_line(error)}); the ports of "
            "that machine must be open to the others"
        ) from error


def _listen(host: str) -> Listener:
    try:
        return Listener((host, 0), backlog=128)
    except OSError:
        # The name by which the others know this machine may not be that of an interface of it.
        return Listener(("0.0.0.0", 0), backlog=128)


def _launchers_store(world: World) -> Any:
    import torch.distributed

    try:
        store, _, _ = next(torch.distributed.rendezvous("env://", timeout=PATIENCE))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"rank {world.rank} of {world.size} cannot reach the launcher's store: {_first_line(error)}"
        ) from error
    # A launcher that starts its processes again keeps the store, with what the last attempt left there.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return torch.distributed.PrefixStore(f"self_instruct/{attempt}", store)


def _main_address() -> str:
    return os.environ.get("MASTER_ADDR", "127.0.0.1")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
