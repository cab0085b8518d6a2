"""All processes that generate as one engine."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Client, Listener

import pytest

from self_instruct.engines.base import Completion, EngineLost, Request
from self_instruct.engines.fleet import pool as module
from self_instruct.engines.fleet.channel import Channel
from self_instruct.engines.fleet.news import idleness
from self_instruct.engines.fleet.pool import WorkerPool
from self_instruct.engines.fleet.worker import Worker
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError

TEXTS = {i: (f"text {i}", False) for i in range(200)}
REVISION = ScriptedEngine(TEXTS).model_revision


class Unhurried(ScriptedEngine):
    """Takes its time, so that others get their turn."""

    rows = 2

    def poll(self) -> list[Completion]:
        time.sleep(0.01)
        return super().poll()


def request(index: int) -> Request:
    return Request(index, "a prompt", "1.", (), f"42:{index}")


def serve(connection, rank: int) -> None:
    Worker(Channel(connection), rank, lambda on_step: Unhurried(TEXTS, rank)).run()


class Hand:
    """The other end of a connection to the pool, played by hand."""

    def __init__(self, pool: WorkerPool, rank: int = 0, rows: int = 2, revision: str = REVISION) -> None:
        its, mine = Pipe()
        self.channel = Channel(mine)
        self.channel.send("hello", rank=rank, pid=700 + rank, host="somewhere")
        self.channel.send("ready", model_revision=revision, news={"rows": rows})
        pool._arrivals.put(its)

    def asked(self) -> list[int]:
        message = self.channel.receive()
        return [row["index"] for row in message["requests"]]

    def answer(self, *indices: int) -> None:
        rows = [dict(request=i, text="t", finish_reason="stop", prompt_tokens=1, completion_tokens=1) for i in indices]
        self.channel.send("completions", completions=rows)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(module, "FAREWELL_SECONDS", 1.0)


@pytest.fixture
def pool():
    pool = WorkerPool(range(1), REVISION)
    yield pool
    pool.close()


def gather(pool: WorkerPool, number: int) -> list[Completion]:
    found: list[Completion] = []
    while len(found) < number:
        found += pool.poll()
    return found


def processes(pool: WorkerPool, number: int) -> list:
    context, started = multiprocessing.get_context("spawn"), []
    for rank in range(number):
        mine, its = context.Pipe()
        started.append(context.Process(target=serve, args=(its, rank), daemon=True))
        started[-1].start()
        its.close()
        pool.add(mine, started[-1])
    return started


def test_real_processes_answer_every_request_once_and_all_take_part():
    pool = WorkerPool(range(3), REVISION)
    processes(pool, 3)
    while pool.rows < 6:
        pool._receive()
    pool.submit([request(i) for i in range(60)])
    found = gather(pool, 60)
    assert sorted(item.request for item in found) == list(range(60))
    assert all(item.text == f"text {item.request}" for item in found) and {item.rank for item in found} == {0, 1, 2}
    assert pool.poll() == [] and 0 <= idleness(pool.news) <= 1
    pool.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_real_process_that_is_lost_is_named_and_close_leaves_none(how, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_SECONDS", 4.0)
    pool = WorkerPool(range(2), REVISION)
    started = processes(pool, 2)
    while pool.rows < 4:
        pool._receive()
    os.kill(started[1].pid, how)
    pool.submit([request(i) for i in range(20)])
    found = []
    expected = "has died" if how == signal.SIGKILL else "has said nothing for 4 seconds"
    with pytest.raises(EngineLost, match=rf"rank 1 \(process {started[1].pid} on {socket.gethostname()}\) {expected}"):
        while True:
            found += pool.poll()
    pool.interrupt()
    found += pool.poll()
    assert len({item.request for item in found}) == len(found) >= 16, "all but what the lost one had was answered"
    pool.close()
    assert not any(process.is_alive() for process in started) and not multiprocessing.active_children()


def test_each_is_handed_the_oldest_and_twice_as_many_as_it_has_rows(pool):
    hand = Hand(pool, rows=2)
    pool.wait_until_ready()
    pool.submit([request(i) for i in (9, 3, 7, 1)])
    pool.submit([request(i) for i in (2, 8)])
    assert hand.asked() == [1, 3, 7, 9]
    hand.answer(7, 1)
    assert sorted(item.request for item in pool.poll()) == [1, 7]
    pool.submit([])
    assert hand.asked() == [2, 8]


def test_whoever_has_most_room_is_handed_the_next(pool):
    one, other = Hand(pool, 0, rows=1), Hand(pool, 1, rows=3)
    while pool.rows < 4:
        pool._receive()
    pool.submit([request(i) for i in range(20)])
    assert (one.asked(), other.asked()) == ([4, 6], [0, 1, 2, 3, 5, 7])


def test_what_was_handed_in_is_returned_before_a_loss_is_told(pool):
    one, other = Hand(pool, 0), Hand(pool, 1)
    while pool.rows < 4:
        pool._receive()
    pool.submit([request(i) for i in range(8)])
    mine = one.asked()
    one.answer(*mine[:3])
    other.channel.send("failure", message="out of luck")
    found = []
    with pytest.raises(EngineLost, match=r"rank 1 \(process 701 on somewhere\) failed: out of luck"):
        while True:
            found += pool.poll()
    pool.interrupt()
    found += pool.poll()
    assert sorted(item.request for item in found) == mine[:3]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_mistake_is_the_users_and_names_another_rank(pool, rank):
    hand = Hand(pool, rank)
    hand.channel.send("mistake", message="no such model")
    with pytest.raises(UserError) as caught:
        while True:
            pool._receive()
    assert caught.value.rank == (rank or None)
    assert str(caught.value) == ("process 701 on somewhere: no such model" if rank else "no such model")


def test_a_rank_with_another_revision_is_refused(pool):
    Hand(pool, 2, revision="other")
    with pytest.raises(
        UserError, match=f"process 702 on somewhere: has loaded revision other .* {REVISION}"
    ) as caught:
        pool.wait_until_ready()
    assert caught.value.rank == 2


@pytest.mark.parametrize("loaded", [True, False])
def test_silence_is_no_answer(pool, monkeypatch, loaded):
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3 if loaded else 1000)
    monkeypatch.setattr(module, "LOADING_SILENCE_SECONDS", 1000 if loaded else 0.3)
    Hand(pool, 1, rows=2 if loaded else 0)
    pool.submit([request(0)])
    with pytest.raises(EngineLost, match=r"rank 1 \(process 701 on somewhere\) has said nothing for 0 seconds"):
        pool.poll()


def test_a_rank_that_never_comes_is_named(monkeypatch):
    monkeypatch.setattr(module, "GREETING_SECONDS", 0.2)
    pool = WorkerPool(range(3), REVISION)
    Hand(pool, 0), Hand(pool, 2)
    pool.submit([request(0)])
    with pytest.raises(EngineLost, match="rank 1 has not connected"):
        pool.poll()
    pool.close()


def test_a_signal_to_all_does_not_hide_who_had_died_before(pool, caplog):
    one, other = Hand(pool, 0), Hand(pool, 1)
    while pool.rows < 4:
        pool._receive()
    other.channel.close()
    pool._receive()
    pool.interrupt()
    one.channel.send("bye")
    assert pool.poll() == []
    assert [record.message for record in caplog.records] == ["rank 1 (process 701 on somewhere) has died"]


def test_an_interruption_returns_what_is_whole_and_waits_once_for_those_who_do_not_answer(pool, caplog):
    one, other = Hand(pool, 0), Hand(pool, 1)
    while pool.rows < 4:
        pool._receive()
    pool.submit([request(i) for i in range(8)])
    whole = one.asked()[:1]
    one.answer(*whole)
    one.channel.send("bye", news={"tokens": 3})
    pool.interrupt()
    assert [item.request for item in pool.poll()] == whole and pool.poll() == []
    assert one.channel.receive() == {"kind": "end"} and len(other.asked()) == 4
    assert other.channel.receive() == {"kind": "end"}
    assert [record.message for record in caplog.records] == [
        "rank 1 (process 701 on somewhere) has not ended within 1 seconds"
    ]


def test_tokens_are_told_as_they_are_drawn():
    told: list[int] = []
    pool = WorkerPool(range(1), REVISION, told.append)
    hand = Hand(pool)
    for tokens in (5, 5, 12):
        hand.channel.send("alive", news={"tokens": tokens, "steps": 1, "seconds": 4.0, "waited": 1.0})
    hand.answer(0)
    pool.submit([request(0)])
    pool.poll()
    assert sum(told) == 12 and idleness(pool.news) == 0.25
    pool.close()


def test_only_who_knows_the_secret_is_let_in_and_nobody_else_disturbs():
    pool, listener = WorkerPool(range(2), REVISION), Listener(("127.0.0.1", 0))
    pool.listen(listener, b"secret")
    silent = socket.create_connection(listener.address)
    for noise in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 64, b""):
        with socket.create_connection(listener.address) as scanner:
            scanner.sendall(noise)
    with pytest.raises(multiprocessing.AuthenticationError):
        Client(listener.address, authkey=b"guess")
    connection = Client(listener.address, authkey=b"secret")
    threading.Thread(target=serve, args=(connection, 1), daemon=True).start()
    pool.submit([request(i) for i in range(10)])
    assert {item.rank for item in gather(pool, 10)} == {1} and len(pool._workers) == 1
    silent.close()
    pool.close()
    listener.close()
