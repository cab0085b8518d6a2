"""The fleet: all generating processes as one engine."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections import defaultdict, deque
from dataclasses import asdict

import pytest

from self_instruct.engines.base import Completion, EngineLost, Request
from self_instruct.engines.fleet import engine as module
from self_instruct.engines.fleet.engine import Fleet
from self_instruct.engines.fleet.messages import CarrierLost, Link, PipeCarrier
from self_instruct.engines.fleet.stats import Stats, idleness
from self_instruct.engines.fleet.worker import Access, Worker
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError
from tests.support.processes import wait_until

TEXTS = {i: (f"text {i}", False) for i in range(200)}
REVISION = ScriptedEngine(TEXTS).model_revision
KEY = b"k" * 32
SECONDS = 60.0


def request(index: int) -> Request:
    return Request(index, "a prompt", "1.", (), f"42:{index}")


class Memory:
    """Queues in this process, in place of the shared store of a launch."""

    limit = 1_000_000

    def __init__(self) -> None:
        self.queues: defaultdict[str, deque[bytes]] = defaultdict(deque)
        self.lost = self.stuck = False

    def push(self, name: str, message: bytes) -> None:
        if self.lost:
            raise CarrierLost("no server")
        self.queues[name].append(message)

    def pop(self, name: str) -> bytes | None:
        while self.stuck:
            time.sleep(0.01)
        if self.lost:
            raise CarrierLost("no server")
        return self.queues[name].popleft() if self.queues[name] else None

    def length(self, name: str) -> int:
        return len(self.queues[name])

    def close(self) -> None:
        pass


class Later:
    """A clock in place of the module `time`: real time, and as much more as the test sets."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


class Child:
    """A stand-in for rank 0's generating process."""

    pid, alive = 700, True

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.alive = False

    def join(self, timeout: float | None = None) -> None:
        pass


class Played:
    """A fleet whose ranks the test plays."""

    def __init__(self, size: int, on_tokens=lambda tokens: None) -> None:
        self.memory, self.child = Memory(), Child()
        self.fleet = Fleet(size, REVISION, lambda: self.memory, KEY, self.child, on_tokens)
        self.links = [Link(self.memory, str(rank), KEY) for rank in range(size)]

    def receive(self, rank: int, name: str) -> dict:
        deadline = time.monotonic() + SECONDS
        while (message := self.links[rank].receive(name)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return message

    def beat(self, rank: int, rows: int = 2, **other) -> None:
        if self.links[rank].launch is None:
            self.receive(rank, f"main/{rank}")
        content = {"ended": False, "failure": None, "model_revision": REVISION if rows else None, "pid": 700 + rank,
                   "method": "", "host": "somewhere", "machine": "", "stats": asdict(Stats(rows=rows)), "sent": 0,
                   "pending": 1}  # fmt: skip
        self.links[rank].send(f"alive/{rank}", {**content, **other})

    def ready(self, *ranks: int) -> None:
        for rank in ranks:
            self.beat(rank)
        until(lambda: self.fleet._receive() or self.fleet.rows == 2 * len(ranks))

    def answer(self, rank: int, *indices: int) -> None:
        for index in indices:
            completion = Completion(index, f"text {index}", "stop", 1, 1, rank)
            self.links[rank].send("completions", {"completion": asdict(completion)})

    def asked(self, rank: int, number: int) -> list[int]:
        return [self.receive(rank, "requests")["request"]["index"] for _ in range(number)]


def until(condition) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline


def gather(fleet: Fleet, number: int) -> list[int]:
    found: list[int] = []
    while len(found) < number:
        found += [item.request for item in fleet.poll()]
    return found


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(module, "END_SECONDS", 0.2)


@pytest.fixture
def played():
    made: list[Played] = []

    def play(size: int, *options) -> Played:
        made.append(Played(size, *options))
        return made[-1]

    yield play
    for one in made:
        one.fleet.close()


def generate(connection) -> None:
    Worker(0, 1, lambda on_step: ScriptedEngine(TEXTS), Access(lambda: PipeCarrier(connection), lambda: KEY)).run()


@pytest.mark.parametrize("how", [None, signal.SIGSTOP, signal.SIGKILL])
def test_a_real_process_answers_every_request_and_is_named_if_it_is_lost(how, monkeypatch):
    for name, seconds in {"GRACE_SECONDS": 2.0, "END_SECONDS": 30.0}.items():
        monkeypatch.setattr(module, name, seconds)
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=generate, args=(its,), daemon=True)
    process.start()
    its.close()
    fleet = Fleet(1, REVISION, lambda: PipeCarrier(ours), KEY, process)
    fleet.submit([request(i) for i in range(60)])
    assert sorted(gather(fleet, 60)) == list(range(60)) and fleet.poll() == [] and 0 <= idleness(fleet.stats) <= 1
    if how is not None:
        monkeypatch.setattr(module, "SILENCE_SECONDS", 4.0 if how == signal.SIGSTOP else module.SILENCE_SECONDS)
        os.kill(process.pid, how)
        expected = "has died" if how == signal.SIGKILL else "has sent no heartbeat for 4 seconds"
        fleet.submit([request(60)])
        with pytest.raises(
            EngineLost, match=rf"rank 0 \(process {process.pid} on {socket.gethostname()}\) {expected}"
        ):
            fleet.poll()
        fleet.interrupt()
        assert fleet.poll() == []
    fleet.close()
    assert not multiprocessing.active_children()
    assert process.exitcode == (0 if how is None else -signal.SIGKILL)


def test_requests_are_queued_in_order_and_answers_arrive_in_any_order(played):
    one = played(2)
    one.ready(0, 1)
    one.fleet.submit([request(i) for i in range(4)])
    assert one.asked(1, 3) + one.asked(0, 1) == [0, 1, 2, 3]
    one.answer(1, 2, 0)
    one.answer(0, 3)
    assert sorted(gather(one.fleet, 3)) == [0, 2, 3] and one.fleet.in_flight == 1


def test_unexpected_and_repeated_completions_are_ignored(played):
    one = played(1)
    one.ready(0)
    one.fleet.submit([request(i) for i in range(3)])
    one.answer(0, 7, 1, 1, 0, 1)
    assert sorted(gather(one.fleet, 2)) == [0, 1]
    one.answer(0, 1, 2)
    assert gather(one.fleet, 1) == [2] and one.fleet.poll() == []


def test_completions_are_returned_before_a_failure_is_raised(played, monkeypatch):
    one = played(2)
    one.ready(0, 1)
    monkeypatch.setattr(module, "END_SECONDS", 600.0)  # both say that they have ended
    one.fleet.submit([request(i) for i in range(8)])
    one.answer(0, 0, 1, 2)
    one.beat(1, failure=["failed", "out of luck"])
    found = []
    with pytest.raises(EngineLost, match=r"rank 1 \(process 701 on somewhere\) failed: out of luck"):
        while True:
            found += [item.request for item in one.fleet.poll()]
    one.beat(0, ended=True, sent=3)
    one.beat(1, ended=True)
    one.fleet.interrupt()
    found += [item.request for item in one.fleet.poll()]
    assert sorted(found) == [0, 1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_user_error_on_another_rank_names_its_process(played, rank):
    one = played(2)
    one.beat(rank, rows=0, failure=["mistake", "no such model"])
    with pytest.raises(UserError) as caught:
        one.fleet.wait_until_ready()
    assert caught.value.rank == (rank or None)
    assert str(caught.value) == ("process 701 on somewhere: no such model" if rank else "no such model")


def test_a_rank_with_another_revision_is_refused(played):
    one = played(3)
    one.beat(2, model_revision="other")
    with pytest.raises(
        UserError, match=f"process 702 on somewhere: has loaded revision other .* {REVISION}"
    ) as caught:
        until(one.fleet._receive)
    assert caught.value.rank == 2


@pytest.mark.parametrize("loaded", [True, False])
def test_a_silent_rank_is_named(played, monkeypatch, loaded):
    """The limits are so long that the test sets when the rank was heard; only the other limit has passed at first."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 5000 if loaded else 1000)
    monkeypatch.setattr(module, "LOADING_SILENCE_SECONDS", 1000 if loaded else 5000)
    one = played(2)
    one.beat(1, rows=2 if loaded else 0)
    until(lambda: one.fleet._receive() or one.fleet._workers[1].connected)
    one.fleet.submit([request(0)])
    one.fleet._workers[1].heard_at -= 3000
    one.fleet._receive()
    one.fleet._workers[1].heard_at -= 3000
    with pytest.raises(
        EngineLost, match=r"rank 1 \(process 701 on somewhere\) has sent no heartbeat for 5000 seconds"
    ):
        one.fleet.poll()


def test_a_rank_that_never_connects_is_named(played):
    one = played(3)
    for rank in (0, 2):
        one.beat(rank)
    until(lambda: one.fleet._receive() or one.fleet.rows == 4)
    one.fleet.submit([request(0)])
    one.fleet._started -= module.PATIENCE_SECONDS
    with pytest.raises(EngineLost, match=f"rank 1 has not connected within {module.PATIENCE_SECONDS:.0f} seconds"):
        one.fleet.poll()


@pytest.mark.parametrize("lost", ["lost", "stuck"])
def test_a_store_that_is_gone_or_does_not_answer_ends_the_generation(played, monkeypatch, lost):
    one = played(2)
    one.ready(0, 1)
    one.fleet.submit([request(0)])
    setattr(one.memory, lost, True)
    if lost == "stuck":
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
        one.fleet._workers[0].heard_at = one.fleet._workers[1].heard_at = time.monotonic() + 1000
    message = "is gone: no server" if lost == "lost" else "store has not answered for 0 seconds"
    with pytest.raises(EngineLost, match=message):
        one.fleet.poll()
    one.memory.stuck = False


def test_a_store_that_cannot_be_reached_is_a_user_error():
    def connect():
        raise UserError("no store")

    fleet = Fleet(2, REVISION, connect, KEY, Child())
    with pytest.raises(UserError, match="no store"):
        fleet.wait_until_ready()
    fleet.close(lambda: True)


def test_requests_wait_for_a_model_that_loads_longer_than_a_process_may_be_silent(played):
    one = played(1)
    one.fleet.submit([request(0)])
    one.fleet._last_progress -= 1000
    one.beat(0, pending=0)  # a process says that its model is loaded before it takes requests
    until(lambda: one.fleet._receive() or one.fleet.rows == 2)
    one.answer(0, *one.asked(0, 1))
    assert gather(one.fleet, 1) == [0]


def test_requests_that_were_taken_out_of_the_store_end_the_generation(played, monkeypatch):
    one = played(1)
    one.ready(0)
    one.fleet.submit([request(0)])
    one.asked(0, 1)
    one.beat(0, pending=0)
    monkeypatch.setattr(module, "LOADING_SILENCE_SECONDS", 0.2)
    with pytest.raises(EngineLost, match="1 requests were lost on the way"):
        one.fleet.poll()


def test_a_request_that_cannot_be_sent_ends_as_an_error(played):
    one = played(1)
    one.ready(0)
    one.memory.limit = 2_000
    one.fleet.submit([Request(0, "x" * 3_000, "", (), "")])
    (completion,) = one.fleet.poll()
    assert completion.finish_reason == "error" and "larger than the 2,000" in completion.error


def test_an_interruption_returns_finished_completions_and_waits_only_once_for_other_ranks(played, caplog, monkeypatch):
    clock = Later()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "END_SECONDS", 1000.0)
    one = played(3)
    one.ready(0, 1, 2)
    one.fleet.submit([request(i) for i in range(8)])
    one.beat(0, ended=True, sent=1)  # its completion is still on the way
    one.fleet.interrupt()
    one.answer(0, 5)

    def end_when_arrived() -> None:
        wait_until(lambda: one.fleet._finished)
        clock.ahead = 2000.0

    ending = threading.Thread(target=end_when_arrived, daemon=True)
    ending.start()
    assert [item.request for item in one.fleet.poll()] == [5] and one.fleet.poll() == []
    ending.join()
    assert one.receive(1, "main/1")["state"] in ("run", "stop")
    until(lambda: one.receive(1, "main/1")["state"] == "stop")
    assert [record.message for record in caplog.records] == [
        f"rank {rank} (process 70{rank} on somewhere) has not ended within 1000 seconds" for rank in (1, 2)
    ]


def test_an_error_while_the_only_process_loads_its_model_is_not_delayed_and_has_no_message_about_it(
    played, caplog, monkeypatch
):
    one = played(1)
    one.beat(0, rows=0)
    until(lambda: one.fleet._receive() or one.fleet._workers[0].connected)
    waits, drain = list[float](), one.fleet._drain
    monkeypatch.setattr(one.fleet, "_drain", lambda seconds: waits.append(seconds) or drain(seconds))
    one.fleet.interrupt()
    assert one.fleet.poll() == [] and caplog.records == [] and set(waits) == {0}


def test_a_process_that_was_not_heard_before_an_error_has_time_to_end(played, caplog, monkeypatch):
    monkeypatch.setattr(module, "END_SECONDS", 30.0)
    one = played(1)
    one.beat(0)
    until(lambda: not one.fleet._incoming.empty())  # rank 0 was busy and has not read it
    one.fleet.interrupt()
    ending = threading.Timer(0.3, lambda: one.beat(0, ended=True))
    ending.start()
    assert one.fleet.poll() == [] and caplog.records == []
    ending.join()


def test_a_signal_to_all_ranks_does_not_hide_which_rank_had_died(played, caplog, monkeypatch):
    monkeypatch.setattr(module, "END_SECONDS", 30.0)
    one = played(2)
    one.ready(0, 1)
    one.child.alive = False
    one.fleet.interrupt()
    one.beat(1, ended=True)
    assert one.fleet.poll() == []
    assert [record.message for record in caplog.records] == ["rank 0 (process 700 on somewhere) has died"]


def test_a_rank_that_was_ended_from_outside_is_named(played):
    one = played(2)
    one.ready(0, 1)
    one.fleet.submit([request(0)])
    one.beat(1, ended=True)
    with pytest.raises(EngineLost, match=r"rank 1 \(process 701 on somewhere\) was ended from outside"):
        one.fleet.poll()


def test_closing_waits_for_ranks_that_start_late_until_a_signal_comes(played):
    one = played(2)
    one.beat(0)
    until(lambda: one.fleet._receive() or one.fleet.rows == 2)
    one.beat(0, ended=True)
    asked, said = list[int](), list[int]()

    def patient() -> bool:
        asked.append(1)
        if len(asked) == 5:
            one.beat(1, rows=0)
        if one.fleet._workers[1].connected and not said:
            said.append(len(asked))
            one.beat(1, rows=0, ended=True)
        return True

    one.fleet.close(patient)
    assert said and len(asked) > said[0] and one.fleet._workers[1].ended
    other = played(2)
    begun = time.monotonic()
    other.fleet.close(lambda: time.monotonic() - begun < 0.5)  # a signal ends the wait


def test_tokens_are_reported_as_they_are_generated(played):
    reported: list[int] = []
    one = played(1, reported.append)
    for tokens in (5, 5, 12):
        one.beat(0, stats=asdict(Stats(tokens, 1, 4.0, 1.0, rows=2)))
    one.fleet.submit([request(0)])
    one.answer(0, 0)
    until(lambda: one.fleet._drain(0.1) or sum(reported) == 12)
    assert idleness(one.fleet.stats) == 0.25 and gather(one.fleet, 1) == [0]
