"""Signed messages between rank 0 and the generating processes.

They travel in named queues: `requests` and `completions`, shared by all, and for each rank N `alive/N` (its heartbeats) and
`main/N` (rank 0's heartbeats to it). The queues are in the launcher's key-value store, or in a pipe where there is no launcher.
Anyone who can reach the store's port can read and write it, so each message is signed with a key that only the user of the run
can read; forged, repeated and oversized messages are ignored. Heartbeats use queues as well, because a value under a key could
be overwritten, or appended to without limit.
"""

import hashlib
import hmac
import json
import logging
import os
import queue
import resource
import secrets
import socket
import stat
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from self_instruct.engines.fleet.world import World
from self_instruct.errors import UserError

PATIENCE_SECONDS = 300.0
"""How long the processes of a launch wait for each other at its start."""
KEY_VARIABLE = "SELF_INSTRUCT_LAUNCH_KEY"
KEY_FILE = "launch.key"
_SHORTEST_KEY = 32
_SIGNATURE = 64  # characters of a hexadecimal SHA-256
_log = logging.getLogger(__name__)


class CarrierLost(Exception):
    """The store or pipe is gone."""


class TooLarge(Exception):
    """A message is larger than the carrier can take."""


@contextmanager
def _as_carrier_lost() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise CarrierLost(first_line(error)) from error


class StoreCarrier:
    """Queues in a torch.distributed store: its own queues, or numbered keys where it has none (torch before 2.8, or a store
    without libuv). First in, first out; no call waits for another process. Methods raise CarrierLost if the store is gone.
    """

    limit = 7 * 2**20  # a store drops the connection at 8 MiB

    def __init__(self, store: Any) -> None:
        self._store: Any = store
        self._claimed: dict[str, int] = {}
        try:
            with _as_carrier_lost():
                store.queue_len("requests")
            self._has_queues = True
        except AttributeError:
            self._has_queues = False
        except CarrierLost as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            self._has_queues = False

    def push(self, name: str, message: bytes) -> None:
        """Append a message to a queue."""
        with _as_carrier_lost():
            if self._has_queues:
                self._store.queue_push(name, message)
            else:
                self._store.set(f"{name}/{self._store.add(f'{name}/pushed', 1)}", message)

    def pop(self, name: str) -> bytes | None:
        """Take the oldest message from a queue; None if it is empty."""
        with _as_carrier_lost():
            if not self._has_queues:
                return self._pop_numbered(name)
            from torch.distributed import QueueEmptyError

            try:
                return self._store.queue_pop(name, block=False)
            except QueueEmptyError:
                return None

    def length(self, name: str) -> int:
        """Return the number of messages in a queue."""
        with _as_carrier_lost():
            if self._has_queues:
                return self._store.queue_len(name)
            return self._store.add(f"{name}/pushed", 0) - self._store.add(f"{name}/popped", 0)

    def close(self) -> None:
        """Do nothing: the connection ends with this object, and other ranks may still need a store that this process hosts."""

    def _pop_numbered(self, name: str) -> bytes | None:
        if name not in self._claimed:
            if self.length(name) <= 0:
                return None
            self._claimed[name] = self._store.add(f"{name}/popped", 1)
        key = f"{name}/{self._claimed[name]}"
        if not self._store.check([key]):
            return None  # claimed before it was written; the next call finds it
        del self._claimed[name]
        message = self._store.get(key)
        self._store.delete_key(key)
        return message


class PipeCarrier:
    """Queues over one end of a pipe. A thread writes, so that `push` never waits for the other side to read."""

    limit = 2**30

    def __init__(self, connection: Connection) -> None:
        self._connection, self._ended = connection, False
        self._received: dict[str, deque[bytes]] = defaultdict(deque)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True, name="pipe")
        self._writer.start()

    def push(self, name: str, message: bytes) -> None:
        """Queue a message for the other side; it is dropped if that side is gone."""
        self._outgoing.put(name.encode() + b"\0" + message)

    def pop(self, name: str) -> bytes | None:
        """Take the oldest message from a queue; None if it is empty."""
        self._receive()
        if not self._received[name]:
            if self._ended and not any(self._received.values()):
                raise CarrierLost("the other process has closed the pipe")
            return None
        return self._received[name].popleft()

    def length(self, name: str) -> int:
        """Return the number of messages in a queue that have arrived."""
        self._receive()
        return len(self._received[name])

    def close(self) -> None:
        """Write the queued messages for up to 2 seconds, and close the pipe."""
        self._outgoing.put(None)
        self._writer.join(2.0)
        self._connection.close()

    def _receive(self) -> None:
        try:
            while not self._ended and self._connection.poll():
                name, _, message = self._connection.recv_bytes().partition(b"\0")
                self._received[name.decode()].append(message)
        except (EOFError, OSError):
            self._ended = True

    def _write(self) -> None:
        with suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._connection.send_bytes(message)


class Link:
    """One process's end of a carrier: signs what it sends and ignores what is not signed with `key`.

    Rank 0 gives the launch a random id. The others take it from rank 0's first message; until then they send nothing. Every
    message holds this id, its sender and a number, so that it is accepted only once.
    """

    def __init__(
        self, carrier: StoreCarrier | PipeCarrier, sender: str, key: bytes | None, launch: str | None = None
    ) -> None:
        self._carrier, self._sender, self.key, self.launch = carrier, sender, key, launch
        self.sent = self.ignored = 0
        self._received: dict[tuple[str, str], tuple[int, set[int]]] = {}

    def send(self, name: str, content: dict[str, Any]) -> None:
        """Append a message to a queue. Raises CarrierLost, or TooLarge if the carrier cannot take it."""
        message = {"launch": self.launch, "from": self._sender, "number": self.sent + 1, "content": content}
        body = json.dumps(message).encode()
        if len(body) + _SIGNATURE > self._carrier.limit:
            raise TooLarge(
                f"a message of {len(body):,} bytes is larger than the {self._carrier.limit:,} that can be sent"
            )
        self._carrier.push(name, self._signature(name, body) + body)
        self.sent += 1

    def receive(self, name: str, tries: int = 100) -> dict[str, Any] | None:
        """Take the next genuine message from a queue: its content, with the sender as `from`. None if the queue is empty, or
        after `tries` ignored messages.
        """
        for _ in range(tries):
            message = self._carrier.pop(name)
            if message is None:
                return None
            if (content := self._read(name, message)) is not None:
                return content
            self.ignored += 1
            if self.ignored in (1, 100, 10_000, 1_000_000):
                _log.warning(
                    "%d messages of the launch were ignored: not signed with its key, or repeated (%s)",
                    self.ignored,
                    name,
                )
        return None

    def length(self, name: str) -> int:
        """Return the number of messages in a queue, genuine or not."""
        return self._carrier.length(name)

    def close(self) -> None:
        """Close the carrier."""
        self._carrier.close()

    def _read(self, name: str, message: bytes) -> dict[str, Any] | None:
        if self.key is None or not _SIGNATURE < len(message) <= self._carrier.limit:
            return None
        signature, body = message[:_SIGNATURE], message[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._signature(name, body)):
            return None
        row = json.loads(body)  # one of our own processes wrote it
        if self.launch is None and row["from"] == "main":
            self.launch = row["launch"]
        if row["launch"] != self.launch or not self._is_new(name, row["from"], row["number"]):
            return None
        return {**row["content"], "from": row["from"]}

    def _is_new(self, name: str, sender: str, number: int) -> bool:
        """Return whether a message number is new. A heartbeat must also be later than all others."""
        floor, later = self._received.setdefault((name, sender), (0, set()))
        if number <= floor or number in later:
            return False
        if name in ("requests", "completions"):
            later.add(number)
            while floor + 1 in later:
                floor += 1
                later.remove(floor)
        else:
            floor = number
        self._received[name, sender] = floor, later
        return True

    def _signature(self, name: str, body: bytes) -> bytes:
        assert self.key is not None, "a process without the key sends nothing"
        context = json.dumps([_run_id(), _restart(), name]).encode()
        return hmac.new(self.key, context + b"\n" + body, hashlib.sha256).hexdigest().encode()


def open_store(world: World, hosts: bool = False, environment: Mapping[str, str] = os.environ) -> Any:
    """Connect to the launcher's store, which the variables in `environment` describe. With `hosts`, this process hosts the
    store if the launcher does not.

    A store that this process hosts listens only on the loopback interface if all ranks are on one machine. The call waits
    inside torch, so a thread that handles signals must not make it. Raises UserError if the store cannot be reached.
    """
    from torch.distributed import PrefixStore, TCPStore

    agent = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    local = world.on_one_machine and not agent
    options: dict[str, Any] = {
        "timeout": timedelta(seconds=PATIENCE_SECONDS), "wait_for_workers": False,
        "use_libuv": environment.get("USE_LIBUV", "1") == "1",
    }  # fmt: skip
    try:
        host = "127.0.0.1" if local else environment["MASTER_ADDR"]
        port = int(environment["MASTER_PORT"])
        if hosts and not agent:
            options["is_master"] = True
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (limits[1], limits[1])
            )  # each connection needs a file descriptor
            if local:
                listener = socket.create_server((host, port), backlog=1024)
                port, options["master_listen_fd"] = listener.getsockname()[1], listener.detach()
        store = TCPStore(host, port, **options)
    except KeyError as error:
        raise UserError(f"{error.args[0]} is not set; start with accelerate launch or torchrun") from None
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"process {os.getpid()} on {socket.gethostname()} cannot reach the launcher's store: {first_line(error)}"
        ) from error
    # A launcher that restarts its processes keeps the store, with the messages of the previous attempt in it.
    return PrefixStore(f"self_instruct/{_restart()}", store)


class LaunchKey:
    """The key of a launch, made by rank 0: from SELF_INSTRUCT_LAUNCH_KEY, or random and written to a file in the run directory
    that only its user can read. If `folder` is None, no other process needs the key and no file is written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path: Path | None = None
        self._made = False
        given = _key_of_environment() if folder else None
        self.key = given or secrets.token_bytes(_SHORTEST_KEY)
        if folder is not None and given is None:
            self._write(folder)

    def remove(self) -> None:
        """Delete the file, what killed launches have left of theirs, and the directory if this launch has made it and left it
        empty.
        """
        with suppress(OSError):
            if self._path is not None:
                for part in self._path.parent.glob(f"{KEY_FILE}.*.part"):
                    part.unlink()
                self._path.unlink()
                if self._made:
                    self._path.parent.rmdir()

    def _write(self, folder: Path) -> None:
        self._made = not folder.exists()
        self._path = folder / KEY_FILE
        part = folder / f"{KEY_FILE}.{os.getpid()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(self.key)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError as error:
            raise UserError(
                f"{self._path}: the key of the launch cannot be written ({error.strerror}); give another directory, or set "
                f"{KEY_VARIABLE}"
            ) from None


def read_key(folder: Path) -> bytes | None:
    """Return the key made by rank 0; None if there is none yet. Raises UserError if another user could read or write it."""
    key, path = _key_of_environment(), folder / KEY_FILE
    if key is not None:
        return key
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            found, key = os.fstat(file.fileno()), file.read(_SHORTEST_KEY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: the key of the launch cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UserError(
            f"{path}: must be a file that belongs to you and that nobody else can read (mode 0600); if the file system "
            f"does not support that, set {KEY_VARIABLE} on all machines"
        )
    return key


def first_line(error: BaseException) -> str:
    """Return the first line of a message; torch appends a stack of C++ calls."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _key_of_environment() -> bytes | None:
    value = os.environ.get(KEY_VARIABLE)
    if not value:
        return None
    if len(value) < _SHORTEST_KEY:
        raise UserError(
            f"{KEY_VARIABLE} has {len(value)} characters, but must have {_SHORTEST_KEY} random ones or more; make it with "
            "openssl rand -hex 32"
        )
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _run_id() -> str:
    names = ("TORCHELASTIC_RUN_ID", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_RESTART_COUNT")
    return "/".join(os.environ.get(name, "") for name in names)


def _restart() -> str:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
