"""A generating process, with the test in the role of rank 0."""

import multiprocessing
import os
import socket
import threading
import time
from dataclasses import asdict, replace
from multiprocessing import Pipe

import pytest

from self_instruct.engines.base import Completion, EngineLost, Request
from self_instruct.engines.fleet import worker as module
from self_instruct.engines.fleet.messages import CarrierLost, Link, PipeCarrier
from self_instruct.engines.fleet.stats import Stats, rows_tried
from self_instruct.engines.fleet.worker import Access, Worker, is_running, machine_id
from self_instruct.engines.local.row_search import RowsTried
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError

TEXTS = {i: (f"text {i}\n9. end", i % 3 == 0) for i in range(40)}
KEY = b"k" * 32


class Slow(ScriptedEngine):
    """An engine that takes some time for each completion and ends at once when it is interrupted."""

    def poll(self) -> list[Completion]:
        for _ in range(500):
            if self._interrupted:
                return []
            time.sleep(0.01)
        return super().poll()


class Broken(ScriptedEngine):
    """An engine that answers request 0 and then raises UserError on rank 1, EngineLost on rank 2, or RuntimeError."""

    def poll(self) -> list[Completion]:
        if 0 in [request.index for request in self._pending]:
            return super().poll()
        failures = {1: UserError("a mistake"), 2: EngineLost("the engine has ended")}
        raise failures.get(self._rank, RuntimeError("the device is lost"))


def request(index: int) -> dict:
    return {"request": asdict(Request(index, "a prompt", "1. Task:\n", ("\n9.",), f"42:{index}"))}


class Started:
    """A worker that runs in a thread, and rank 0's end of its pipe."""

    def __init__(
        self, engine: ScriptedEngine | None = None, mistake: Exception | None = None, key: bytes = KEY
    ) -> None:
        ours, its = Pipe()
        self.engine, self.mistake, self.result = engine, mistake, None
        self.link = Link(PipeCarrier(ours), "main", KEY, "L")
        self.worker = Worker(5, 1, self.load, Access(lambda: PipeCarrier(its), lambda: key))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        self.say("run")

    def load(self, on_step):
        self.on_step = on_step
        if self.mistake is not None:
            raise self.mistake
        return self.engine

    def run(self) -> None:
        try:
            self.result = self.worker.run()
        except UserError as error:
            self.result = error

    def say(self, state: str) -> None:
        self.link.send("main/5", {"state": state})

    def ask(self, *indices: int) -> None:
        for index in indices:
            self.link.send("requests", request(index))

    def hear(self, name: str = "completions", until=lambda message: True) -> dict:
        """Return the next valid message of a queue."""
        while True:
            message = self.link.receive(name)
            if message is not None and until(message):
                return message
            time.sleep(0.001)

    def beat(self, until=lambda message: True) -> dict:
        return self.hear("alive/5", until)

    def ends(self) -> object:
        self.thread.join(120)
        assert not self.thread.is_alive()
        return self.result


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)


def test_worker_answers_every_request_once_and_ends_on_request():
    started = Started(ScriptedEngine(TEXTS, rank=5))
    beat = started.beat(lambda message: message["stats"]["rows"] == 1)
    assert (beat["pid"], beat["host"], beat["machine"]) == (os.getpid(), socket.gethostname(), machine_id())
    assert beat["model_revision"] == started.engine.model_revision and not beat["ended"]
    started.ask(3, 4, 5)
    found = [started.hear()["completion"] for _ in range(3)]
    reference = ScriptedEngine(TEXTS, rank=5)
    reference.submit([Request.of(request(i)["request"]) for i in (3, 4, 5)])
    assert found == [asdict(reference.poll()[0]) for _ in range(3)]
    started.say("stop")
    last = started.beat(lambda message: message["ended"])
    assert (last["sent"], last["pending"], last["failure"]) == (3, 0, None)
    assert started.ends() is True


def test_rank_0_knows_that_a_model_is_loaded_before_the_first_completion(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 1000)
    heard = threading.Event()

    class Late(Started):
        def load(self, on_step):
            heard.wait()
            return super().load(on_step)

    started = Late(ScriptedEngine(TEXTS, rank=5))
    started.ask(3)
    assert started.beat()["stats"]["rows"] == 0
    heard.set()
    started.hear()
    assert started.link.receive("alive/5")["stats"]["rows"] == 1
    started.say("stop")
    assert started.ends() is True


def test_worker_takes_twice_its_rows_and_its_heartbeats_hold_its_measurements():
    started = Started(Slow(TEXTS))
    started.beat(lambda message: message["stats"]["rows"])
    started.ask(*range(8))
    assert started.beat(lambda message: message["pending"])["pending"] <= 2
    started.on_step(3)
    started.on_step(4)
    stats = started.beat(lambda message: message["stats"]["tokens"] == 7)["stats"]
    assert stats["steps"] == 2 and stats["seconds"] >= stats["waited"] >= 0
    assert started.beat(lambda message: message["pending"] == 2)
    started.say("stop")
    last = started.beat(lambda message: message["ended"])
    assert last["sent"] == 0 and started.ends() is True
    with pytest.raises(CarrierLost):
        started.hear()  # unfinished requests are not answered


def test_heartbeats_hold_what_a_search_for_rows_has_found_and_how_much_it_took():
    engine = Slow(TEXTS)
    engine.rows_tried = RowsTried(((1, 9.0),), 2, None, "a CPU")
    started = Started(engine)
    started.ask(0)
    started.beat(lambda message: message["pending"])
    started.on_step(3)
    going_on = started.beat(lambda message: message["stats"]["tokens"] == 3)["stats"]
    assert rows_tried([Stats(**going_on)]) == replace(engine.rows_tried, speeds=[[1, 9.0]])
    assert (going_on["search_tokens"], going_on["search_seconds"]) == (0, 0.0)
    engine.rows_tried = replace(engine.rows_tried, ended="gain")
    ended = started.beat(lambda message: message["stats"]["search_seconds"])["stats"]
    assert rows_tried([Stats(**ended)]).conclusive and ended["search_tokens"] == 3
    started.on_step(4)
    later = started.beat(lambda message: message["stats"]["tokens"] == 7)["stats"]
    assert (later["search_tokens"], later["search_seconds"]) == (3, ended["search_seconds"])
    started.say("stop")
    assert started.beat(lambda message: message["ended"]) and started.ends() is True


@pytest.mark.parametrize(("rank", "kind", "text"), [
    (1, "mistake", "a mistake"), (0, "failed", "RuntimeError: the device is lost"),
    (2, "failed", "the engine has ended"),
])  # fmt: skip
def test_completions_before_a_failure_are_sent_and_the_failure_is_reported(rank, kind, text):
    started = Started(Broken(TEXTS, rank))
    started.ask(0, 1)
    assert started.hear()["completion"]["request"] == 0
    beat = started.beat(lambda message: message["failure"])
    assert beat["failure"] == [kind, text] and not beat["ended"]
    started.say("stop")
    assert started.beat(lambda message: message["ended"])["failure"] == [kind, text]
    assert started.ends() is False


@pytest.mark.parametrize("kind", ["mistake", "failed"])
def test_a_model_that_cannot_be_loaded_is_reported(kind):
    started = Started(mistake=UserError("no such folder") if kind == "mistake" else MemoryError("no memory"))
    assert started.beat(lambda message: message["failure"])["failure"][0] == kind
    started.say("stop")
    assert started.ends() is False


def test_worker_ends_with_a_message_when_rank_0_is_gone(caplog):
    started = Started(Slow(TEXTS))
    started.ask(1, 2)
    started.beat(lambda message: message["pending"])
    started.link.close()
    assert started.ends() is False
    assert "rank 5: rank 0 is gone; run the same command again to continue" in caplog.text


def test_worker_ends_when_rank_0_is_silent(monkeypatch):
    monkeypatch.setattr(module, "LOADING_SILENCE_SECONDS", 0.3)
    started = Started(Slow(TEXTS))
    with pytest.raises(CarrierLost):
        while True:
            started.beat()
    assert started.ends() is False


def test_worker_without_the_key_of_the_launch_says_what_to_do(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    started = Started(Slow(TEXTS), key=b"another key")
    started.ask(1)
    error = started.ends()
    assert isinstance(error, UserError) and "no message from rank 0 that is signed" in str(error)
    with pytest.raises(CarrierLost):
        started.hear()
    assert started.link.ignored == 0, "it has sent nothing"


def test_a_signal_ends_the_worker_as_rank_0_would():
    started = Started(Slow(TEXTS))
    started.ask(1, 2)
    started.beat(lambda message: message["pending"])
    started.worker.end()
    assert started.beat(lambda message: message["ended"])
    assert started.ends() is True


def test_a_completion_that_cannot_be_sent_becomes_an_error(monkeypatch):
    monkeypatch.setattr(PipeCarrier, "limit", 2_000)
    started = Started(ScriptedEngine({0: ("x" * 3_000, False)}))
    started.ask(0)
    completion = started.hear()["completion"]
    assert completion["finish_reason"] == "error" and "larger than the 2,000" in completion["error"]
    started.say("stop")
    assert started.ends() is True


class Stuck(ScriptedEngine):
    """An engine whose `poll` never returns."""

    def poll(self) -> list[Completion]:
        time.sleep(1000)
        return []


def stuck(connection, seconds: float) -> None:
    def load(on_step):
        time.sleep(seconds)
        return Stuck(TEXTS)

    module.HEARTBEAT_SECONDS = 0.05
    module.END_SECONDS = 0.3
    Worker(0, 1, load, Access(lambda: PipeCarrier(connection), lambda: KEY)).run()


@pytest.mark.parametrize("loading", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_a_process_that_cannot_be_interrupted_still_ends(loading, asked):
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=stuck, args=(its, 1000.0 if loading else 0.0), daemon=True)
    process.start()
    its.close()
    link = Link(PipeCarrier(ours), "main", KEY, "L")
    link.send("main/0", {"state": "run"})
    while (beat := link.receive("alive/0")) is None or not (loading or beat["stats"]["rows"]):
        time.sleep(0.01)
    assert beat["pid"] == process.pid and is_running(process.pid)
    if asked:
        link.send("requests", request(1))
        link.send("main/0", {"state": "stop"})
        while not (beat := link.receive("alive/0") or beat)["ended"]:
            time.sleep(0.01)
    else:
        link.close()
    process.join(300)
    # If rank 0 asked for the end, the exit code is 0, even if the process was stuck.
    assert process.exitcode == (0 if asked else 1) and not is_running(process.pid)


def test_a_key_that_cannot_be_used_is_a_user_error_and_ends_the_worker():
    def key() -> bytes:
        raise UserError("the key has 3 characters")

    _, its = Pipe()
    worker = Worker(5, 1, lambda on_step: Slow(TEXTS), Access(lambda: PipeCarrier(its), key))
    with pytest.raises(UserError, match="3 characters"):
        worker.run()
