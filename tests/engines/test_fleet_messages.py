"""Signed messages between ranks, and the key of a launch."""

import json
import os
import stat
from datetime import timedelta
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch.distributed

from self_instruct.engines.fleet import messages as module
from self_instruct.engines.fleet.messages import (
    KEY_FILE,
    KEY_VARIABLE,
    CarrierLost,
    LaunchKey,
    Link,
    PipeCarrier,
    StoreCarrier,
    TooLarge,
    open_store,
    read_key,
)
from self_instruct.engines.fleet.world import World
from self_instruct.errors import UserError
from tests.support.processes import wait_until

KEY, OTHER = b"k" * 32, b"o" * 32
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT",
            "TORCHELASTIC_RUN_ID", KEY_VARIABLE)  # fmt: skip


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)


def server(queues: bool = True) -> torch.distributed.TCPStore:
    return torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=queues)


def client(store: torch.distributed.TCPStore, queues: bool = True) -> StoreCarrier:
    options = {"is_master": False, "use_libuv": queues, "timeout": timedelta(seconds=10)}
    return StoreCarrier(
        torch.distributed.PrefixStore("a", torch.distributed.TCPStore("127.0.0.1", store.port, **options))
    )


@pytest.fixture(params=["pipe", "queues", "keys"])
def ends(request):
    """Return both ends of a carrier."""
    if request.param == "pipe":
        yield tuple(map(PipeCarrier, Pipe()))
        return
    store = server(request.param == "queues")
    yield client(store, request.param == "queues"), client(store, request.param == "queues")
    del store


def popped(carrier, name: str) -> bytes:
    """Return the next message, waiting for the pipe to deliver it."""
    while (message := carrier.pop(name)) is None:
        pass
    return message


def test_carriers_keep_the_order_of_each_queue(ends):
    one, other = ends
    assert other.pop("b") is None and other.length("b") == 0
    for number in range(3):
        one.push("b", b"%d\x00\xff" % number)
        one.push("c", b"c%d" % number)
    other.push("d", b"back")
    assert [popped(other, "c") for _ in range(3)] == [b"c0", b"c1", b"c2"]
    assert other.length("b") == 3 and popped(other, "b") == b"0\x00\xff"
    assert other.length("b") == 2 and other.pop("c") is None
    assert popped(one, "d") == b"back"


@pytest.mark.parametrize("queues", [True, False])
def test_two_readers_of_a_store_share_a_queue(queues):
    store = server(queues)
    writer, *readers = (client(store, queues) for _ in range(3))
    found = []
    for number in range(20):
        writer.push("requests", b"%d" % number)
        found += [message for reader in readers if (message := reader.pop("requests"))]
    assert sorted(map(int, found)) == list(range(20)) and writer.length("requests") == 0


def test_messages_that_arrived_are_read_before_a_lost_carrier_raises():
    ours, its = Pipe()
    writer, reader = PipeCarrier(its), PipeCarrier(ours)
    writer.push("a", b"last words")
    writer.close()
    assert popped(reader, "a") == b"last words"
    with pytest.raises(CarrierLost):
        popped(reader, "a")
    store = server()
    carrier = client(store)
    del store
    with pytest.raises(CarrierLost):
        carrier.length("a")


class Memory:
    """A carrier whose messages the test can read."""

    def __init__(self, limit: int = 10_000) -> None:
        self.queues: dict[str, list[bytes]] = {}
        self.limit = limit

    def push(self, name: str, message: bytes) -> None:
        self.queues.setdefault(name, []).append(message)

    def pop(self, name: str) -> bytes | None:
        return self.queues[name].pop(0) if self.queues.get(name) else None


def linked(launch: str = "L", **options) -> tuple[Memory, Link, Link]:
    """Return a carrier, rank 0's end, and the end of rank 1 after it has joined."""
    memory = Memory(**options)
    main, worker = Link(memory, "main", KEY, launch), Link(memory, "1", KEY)
    main.send("main/1", {"state": "run"})
    assert worker.receive("main/1") == {"state": "run", "from": "main"} and worker.launch == launch
    return memory, main, worker


def genuine(content: dict, sender: str = "1", name: str = "completions", key: bytes = KEY, launch: str = "L") -> bytes:
    memory = Memory(10**6)
    Link(memory, sender, key, launch).send(name, content)
    return memory.queues[name][0]


@pytest.mark.parametrize(
    "message",
    [
        b"", b"garbage", b"\xff" * 500, b'{"from": "1"}', b"0" * 64 + b"{}",
        genuine({"a": 1}, key=OTHER), genuine({"a": 1}, name="requests"), genuine({"a": 1}, launch="an earlier one"),
        genuine({"a": 1})[:-1] + b" ", genuine({"a": "x" * 9_999}) + b" ",
    ],
)  # fmt: skip
def test_forged_messages_are_ignored(message):
    memory, main, worker = linked()
    memory.push("completions", message)
    worker.send("completions", {"a": 2})
    assert main.receive("completions") == {"a": 2, "from": "1"} and main.ignored == 1


@pytest.mark.parametrize("variable", ["TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_RUN_ID", "SLURM_RESTART_COUNT"])
def test_messages_of_another_launch_are_ignored(monkeypatch, variable):
    _memory, main, worker = linked()
    worker.send("completions", {})
    monkeypatch.setenv(variable, "7")
    assert main.receive("completions") is None and main.ignored == 1


@pytest.mark.parametrize(("name", "accepted"), [("completions", [0, 2, 1, 3]), ("alive/1", [0, 2, 3])])
def test_repeated_messages_are_accepted_once_and_heartbeats_only_in_order(name, accepted):
    memory, main, worker = linked()
    for number in range(4):
        worker.send(name, {"a": number})
    first, second, third, fourth = memory.queues[name]
    memory.queues[name] = [first, first, third, second, third, first, fourth, second]
    found = []
    while message := main.receive(name):
        found.append(message["a"])
    assert found == accepted and main.ignored == 8 - len(accepted)


def test_a_worker_ignores_a_replayed_message_of_another_launch():
    memory, _main, worker = linked()
    memory.push("main/1", genuine({"state": "stop"}, "main", "main/1", launch="an earlier one"))
    assert worker.receive("main/1") is None and worker.launch == "L"


def test_a_flood_is_read_in_portions_and_logged_in_few_lines(caplog):
    memory, main, worker = linked()
    memory.queues["completions"] = [b"garbage %d" % number * 20 for number in range(5_000)]
    worker.send("completions", {"a": 1})
    calls = 0
    while (message := main.receive("completions")) is None:
        calls += 1
    assert message["a"] == 1 and calls == 50 and main.ignored == 5_000
    assert [record.args[0] for record in caplog.records] == [1, 100]
    assert "messages of the launch were ignored: not signed with its key, or repeated (completions)" in caplog.text


def test_a_message_over_the_limit_is_refused_before_it_is_sent():
    memory, _main, worker = linked(limit=500)
    with pytest.raises(TooLarge, match="larger than the 500"):
        worker.send("completions", {"text": "x" * 500})
    assert not memory.queues.get("completions")
    assert json.loads(genuine({})[64:])["number"] == 1 and worker.sent == 0


def test_key_file_is_private_and_removed_with_the_folder_that_was_made(tmp_path):
    folder = tmp_path / "run"
    key = LaunchKey(folder)
    found = os.lstat(folder / KEY_FILE)
    assert stat.S_IMODE(found.st_mode) == 0o600 and read_key(folder) == key.key and len(key.key) == 32
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    (folder / f"{KEY_FILE}.123.part").write_bytes(b"")  # of a launch that was killed in the moment of writing
    again = LaunchKey(folder)
    assert read_key(folder) == again.key != key.key
    again.remove()
    assert list(folder.iterdir()) == [] and read_key(folder) is None
    folder.rmdir()
    key = LaunchKey(folder)
    key.remove()
    assert not folder.exists()


def test_key_file_that_others_could_have_read_or_made_is_refused(tmp_path):
    key = LaunchKey(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(UserError, match=f"0600.*{KEY_VARIABLE}"):
        read_key(tmp_path)
    key.remove()
    (tmp_path / "elsewhere").write_bytes(KEY)
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="cannot be read"):
        read_key(tmp_path)
    if os.geteuid() == 0:
        (tmp_path / KEY_FILE).unlink()
        (tmp_path / KEY_FILE).write_bytes(KEY)
        os.chmod(tmp_path / KEY_FILE, 0o600)
        os.chown(tmp_path / KEY_FILE, 12345, -1)
        with pytest.raises(UserError, match="that belongs to you"):
            read_key(tmp_path)


def test_key_of_the_environment_replaces_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "x" * 31)
    with pytest.raises(UserError, match=f"{KEY_VARIABLE} has 31 characters"):
        LaunchKey(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "x" * 32)
    key = LaunchKey(tmp_path)
    assert key.key == read_key(Path("/nowhere")) and not list(tmp_path.iterdir())
    assert LaunchKey(None).key != key.key, "a pipe needs no shared key"


@pytest.fixture
def port(monkeypatch):
    """Start a launcher's store, and set the variables that name its port."""
    store = server()
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": store.port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
    }.items():
        monkeypatch.setenv(name, str(value))
    yield store.port
    del store


def test_ranks_share_the_launchers_store_and_a_restart_sees_no_earlier_messages(port, monkeypatch):
    one, other = StoreCarrier(open_store(World(0, 2), hosts=True)), StoreCarrier(open_store(World(1, 2)))
    one.push("a", b"1")
    received: list[bytes] = []  # on a busy machine, a message becomes visible a moment later
    wait_until(lambda: received.extend(filter(None, [other.pop("a")])) or received)
    assert received == [b"1"]
    one.push("a", b"2")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert StoreCarrier(open_store(World(1, 2))).pop("a") is None


def test_store_hosted_for_one_machine_listens_only_on_the_loopback_interface(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", str(server().port))  # a port that is free by now
    world = World(0, 2, on_one_machine=True)
    store = StoreCarrier(open_store(world, hosts=True))
    StoreCarrier(open_store(World(1, 2, on_one_machine=True))).push("a", b"1")
    assert store.pop("a") == b"1"
    number = f":{int(os.environ['MASTER_PORT']):04X}"
    lines = [
        line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/self/net/{kind}").read_text().splitlines()
    ]
    assert [line[1] for line in lines if line[1].endswith(number) and line[3] == "0A"] == [f"0100007F{number}"]


def test_store_that_cannot_be_reached_is_a_user_error(monkeypatch):
    with pytest.raises(UserError, match="MASTER_ADDR is not set"):
        open_store(World(1, 2))
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "9")
    with pytest.raises(UserError, match=rf"process {os.getpid()} on .* cannot reach the launcher's store"):
        open_store(World(1, 2))
