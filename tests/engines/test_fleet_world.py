"""Who takes part in a launch, and how they meet."""

import os
import socket
import threading
from datetime import timedelta
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge

import pytest
import torch.distributed

from self_instruct.engines.fleet import world as module
from self_instruct.engines.fleet.world import MeetingPlace, World, connect, current_world
from self_instruct.errors import UserError


@pytest.mark.parametrize(
    ("rank", "size", "world"), [(None, None, World(0, 1)), ("0", "1", World(0, 1)), ("3", "4", World(3, 4))]
)
def test_the_world_is_what_the_launcher_says(monkeypatch, rank, size, world):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert current_world() == world and world.is_main == (world.rank == 0)


@pytest.mark.parametrize(
    ("rank", "size"), [(None, "2"), ("0", None), ("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0"), ("", "")]
)
def test_a_world_that_cannot_be_is_refused(monkeypatch, rank, size):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="no world"):
        current_world()


@pytest.fixture
def launcher(monkeypatch):
    """A launcher's environment, with a store of its own; gives rank and size."""

    def enter(rank: int, size: int = 3, machines: int = 1) -> World:
        for name, value in {"RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size // machines}.items():
            monkeypatch.setenv(name, str(value))
        return current_world()

    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    yield enter
    del store


def greeted(place: MeetingPlace, secret: bytes) -> threading.Thread:
    """Rank 0 answering one caller, which it tells what it heard."""

    def answer() -> None:
        connection = place.listener.accept()
        try:
            deliver_challenge(connection, secret)
            answer_challenge(connection, secret)
            connection.send_bytes(connection.recv_bytes().upper())
        except AuthenticationError:
            connection.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("machines", "name", "interface"),
    [(1, "localhost", "127.0.0.1"), (3, "127.0.0.1", "127.0.0.1"), (3, "localhost", "0.0.0.0")],
)
def test_ranks_meet_through_the_launchers_store(launcher, monkeypatch, machines, name, interface):
    monkeypatch.setenv("MASTER_ADDR", name)
    place = MeetingPlace(launcher(0, machines=machines))
    assert place.listener.address[0] == interface
    thread = greeted(place, place.secret)
    connection = connect(launcher(2, machines=machines))
    connection.send_bytes(b"hello")
    assert connection.recv_bytes() == b"HELLO"
    thread.join()
    place.close()


def test_a_rank_waits_until_rank_0_has_said_where_it_listens(launcher):
    found = []
    rank = launcher(1)
    calling = threading.Thread(target=lambda: found.append(connect(rank)), daemon=True)
    calling.start()
    place = MeetingPlace(launcher(0))
    thread = greeted(place, place.secret)
    calling.join(30)
    assert found and found[0] is not None
    found[0].send_bytes(b"x")
    thread.join()
    place.close()


def test_a_rank_that_comes_after_the_end_is_told_so(launcher):
    MeetingPlace(launcher(0)).close()
    assert connect(launcher(1)) is None


def test_rank_0_that_knows_another_secret_is_not_believed(launcher):
    place = MeetingPlace(launcher(0))
    thread = greeted(place, b"another")
    with pytest.raises(UserError, match=r"process \d+ on .* cannot reach rank 0 at 127.0.0.1"):
        connect(launcher(1))
    thread.join()
    place.close()


@pytest.mark.parametrize("how", ["closed", "mute", "other"])
def test_rank_0_that_cannot_be_reached_is_named_with_who_tried(launcher, monkeypatch, how):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    place = MeetingPlace(launcher(0))
    if how == "closed":
        place.listener.close()
    if how == "other":  # some other program has the port
        threading.Thread(target=lambda: place.listener.accept().send_bytes(b"220 mail ready"), daemon=True).start()
    with pytest.raises(UserError, match=rf"process {os.getpid()} on {socket.gethostname()} cannot reach rank 0"):
        connect(launcher(1))
    place.listener.close()


def test_a_store_that_is_not_there_is_named(launcher, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=1))
    monkeypatch.setenv("MASTER_PORT", "9")
    with pytest.raises(UserError, match="cannot reach the launcher's store"):
        connect(launcher(1))


def test_what_an_earlier_attempt_of_the_launcher_left_is_not_taken_for_this_one(launcher, monkeypatch):
    MeetingPlace(launcher(0)).close()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=1))
    with pytest.raises(UserError, match="it has not said where it listens"):
        connect(launcher(1))
