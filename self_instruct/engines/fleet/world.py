"""The processes of a launch, as the launcher's environment variables describe them, and how they find each other.

Rank 0 listens; its address and a secret of this launch reach the others through the key-value store that the launcher
(`accelerate launch` or torchrun) has set up. Knows nothing of what is said then.
"""

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any

from self_instruct.errors import UserError

PATIENCE = timedelta(minutes=5)
CONNECT_SECONDS = 20.0
_ANYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class World:
    """This process among those of the launch."""

    rank: int
    size: int
    on_one_machine: bool = False

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
    return World(rank, size, os.environ.get("LOCAL_WORLD_SIZE") == str(size))


class MeetingPlace:
    """Where rank 0 waits for the others; `listener` accepts their connections, `secret` proves that they belong here.

    Raises `UserError` if the launcher's store or the network cannot be used.
    """

    def __init__(self, world: World) -> None:
        self._store = _launchers_store(world)  # it may be this process that keeps it
        self.secret = secrets.token_bytes(32)
        try:
            self.listener = _listen("127.0.0.1" if world.on_one_machine else _main_address())
        except OSError as error:
            raise UserError(f"rank 0 cannot listen for the others: {_first_line(error)}") from error
        host, port = self.listener.address
        self._note(host=_main_address() if host == _ANYWHERE else host, port=port, secret=self.secret.hex())

    def close(self) -> None:
        """Lets nobody in any more; who comes later learns that the run is over."""
        with suppress(RuntimeError):  # the launcher and its store may have gone
            self._note()
        self.listener.close()

    def _note(self, **address: Any) -> None:
        self._store.set("address", json.dumps(address))


def _listen(name: str) -> Listener:
    """A listener on the interface whose address or name the others know; on all of them where that cannot be told: a name may
    stand for the loopback interface here, and an address may be one that a router puts in place of this machine's.
    """
    with suppress(OSError):
        address = socket.gethostbyname(name)
        if name == address or not address.startswith("127."):
            return Listener((address, 0), backlog=128)
    return Listener((_ANYWHERE, 0), backlog=128)


def connect(world: World) -> Connection | None:
    """A connection to rank 0, proved on both sides; None if the run is over. Raises `UserError` if rank 0 cannot be reached."""
    store = _launchers_store(world)
    try:
        address = _address(store)
        return _call(address) if address else None
    except (OSError, RuntimeError, EOFError, AssertionError, AuthenticationError) as error:
        if _is_over(store):
            return None
        raise UserError(
            f"process {os.getpid()} on {socket.gethostname()} cannot reach rank 0 at {_main_address()} ({_first_line(error)}); "
            "the ports of that machine must be open to the others"
        ) from error


def _address(store: Any) -> dict[str, Any]:
    """What rank 0 has noted, once it has. A wait inside the store would keep signals out."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    while not store.check(["address"]):
        if time.monotonic() > deadline:
            raise OSError("it has not said where it listens")
        time.sleep(0.1)
    return json.loads(store.get("address"))


def _is_over(store: Any) -> bool:
    try:
        return not json.loads(store.get("address"))
    except RuntimeError:  # the store has gone, and with it who could say so
        return False


def _call(address: dict[str, Any]) -> Connection:
    line = socket.create_connection((address["host"], address["port"]), CONNECT_SECONDS)
    line.setblocking(True)
    # A machine that has gone without a word is noticed by the beats that it does not acknowledge.
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * CONNECT_SECONDS))
    connection = Connection(line.detach())
    secret = bytes.fromhex(address["secret"])
    try:
        if not connection.poll(CONNECT_SECONDS):
            raise OSError("it does not answer")
        answer_challenge(connection, secret)
        deliver_challenge(connection, secret)
    except BaseException:
        connection.close()
        raise
    return connection


def _launchers_store(world: World) -> Any:
    import torch.distributed

    try:
        store, _, _ = next(torch.distributed.rendezvous("env://", timeout=PATIENCE))
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"process {os.getpid()} on {socket.gethostname()} cannot reach the launcher's store: {_first_line(error)}"
        ) from error
    # A launcher that starts its processes again keeps the store, with what the last attempt left there.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return torch.distributed.PrefixStore(f"self_instruct/{attempt}", store)


def _main_address() -> str:
    return os.environ.get("MASTER_ADDR", "127.0.0.1")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
