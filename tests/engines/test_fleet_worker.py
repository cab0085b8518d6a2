"""A process that generates, seen through its channel."""

import multiprocessing
import os
import socket
import threading
import time
from dataclasses import asdict
from multiprocessing import Pipe

import pytest

from self_instruct.engines.base import Completion, Request
from self_instruct.engines.fleet import worker as module
from self_instruct.engines.fleet.channel import Channel
from self_instruct.engines.fleet.worker import Worker
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError

TEXTS = {i: (f"text {i}\n9. end", i % 3 == 0) for i in range(40)}


class Slow(ScriptedEngine):
    """Needs some time for each completion, and ends at once when it is interrupted."""

    def poll(self) -> list[Completion]:
        for _ in range(500):
            if self._interrupted:
                return []
            time.sleep(0.01)
        return super().poll()


class Broken(ScriptedEngine):
    """Answers once and fails then, as its text says."""

    def poll(self) -> list[Completion]:
        if 0 in [request.index for request in self._pending]:
            return super().poll()
        raise UserError("a mistake") if self._rank == 1 else RuntimeError("the device is lost")


class Started:
    """A worker in a thread, and the other end of its channel."""

    def __init__(self, engine: ScriptedEngine | None = None, mistake: Exception | None = None) -> None:
        its, mine = Pipe()
        self.engine, self.mistake, self.whole = engine, mistake, None
        self.channel = Channel(mine)
        self.worker = Worker(Channel(its), 5, self.load)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def load(self, on_step):
        self.on_step = on_step
        if self.mistake is not None:
            raise self.mistake
        return self.engine

    def run(self) -> None:
        self.whole = self.worker.run()

    def ask(self, *indices: int) -> None:
        requests = [asdict(Request(i, "a prompt", "1. Task:\n", ("\n9.",), f"42:{i}")) for i in indices]
        self.channel.send("requests", requests=requests)

    def hear(self, *kinds: str) -> list[dict]:
        """Messages up to one of these kinds, without the signs of life."""
        heard = []
        while not heard or heard[-1]["kind"] not in kinds:
            message = self.channel.receive()
            assert message is not None, heard
            heard += [message] if message["kind"] != "alive" else []
        return heard

    def hang_up(self) -> None:
        self.channel.close()
        self.thread.join(120)
        assert not self.thread.is_alive()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(module, "LAST_WORD_SECONDS", 10.0)


def test_it_introduces_itself_answers_every_request_once_and_says_goodbye():
    started = Started(ScriptedEngine(TEXTS, rank=5))
    hello, ready = started.hear("ready")
    assert hello == {"kind": "hello", "rank": 5, "pid": os.getpid(), "host": socket.gethostname()}
    assert ready["model_revision"] == started.engine.model_revision and ready["news"]["rows"] == 1
    started.ask(3, 4)
    started.ask(5)
    found = [item for _ in range(3) for item in started.hear("completions")[-1]["completions"]]
    assert [item["request"] for item in found] == [3, 4, 5]
    reference = ScriptedEngine(TEXTS, rank=5)
    reference.submit([Request(i, "a prompt", "1. Task:\n", ("\n9.",), "") for i in (3, 4, 5)])
    assert found == [asdict(reference.poll()[0]) for _ in range(3)]
    started.channel.send("end")
    assert started.hear("bye")[-1]["kind"] == "bye"
    started.hang_up()
    assert started.whole is True


def test_signs_of_life_come_while_it_generates_and_tell_what_was_drawn():
    started = Started(Slow(TEXTS))
    started.hear("ready")
    started.ask(1)
    started.on_step(3)
    started.on_step(4)
    while (message := started.channel.receive())["news"]["tokens"] < 7:
        assert message["kind"] == "alive"
    news = message["news"]
    assert news["steps"] == 2 and news["seconds"] >= news["waited"] >= 0
    started.channel.send("end")
    assert [message["kind"] for message in started.hear("bye")] == ["bye"], "what is not whole is not handed in"
    started.hang_up()


@pytest.mark.parametrize(("rank", "kind", "text"), [
    (1, "mistake", "a mistake"), (0, "failure", "RuntimeError: the device is lost"),
])  # fmt: skip
def test_what_was_whole_before_a_failure_is_handed_in_and_the_failure_told(rank, kind, text):
    started = Started(Broken(TEXTS, rank))
    started.hear("ready")
    started.ask(0, 1)
    completions, told = started.hear(kind)
    assert [item["request"] for item in completions["completions"]] == [0] and told == {"kind": kind, "message": text}
    started.hang_up()
    assert started.whole is False


@pytest.mark.parametrize("kind", ["mistake", "failure"])
def test_a_model_that_cannot_be_loaded_is_told(kind):
    started = Started(mistake=UserError("no such folder") if kind == "mistake" else MemoryError("no memory"))
    assert [message["kind"] for message in started.hear(kind)] == ["hello", kind]
    started.hang_up()
    assert started.whole is False


def test_it_does_not_go_on_when_the_other_side_is_gone_and_says_so(caplog):
    started = Started(Slow(TEXTS))
    started.hear("ready")
    started.ask(1, 2)
    started.hang_up()
    assert started.whole is False
    assert "rank 5: rank 0's process is gone; the same command goes on with the run" in caplog.text


def test_a_signal_ends_it_as_the_other_side_would():
    started = Started(Slow(TEXTS))
    started.hear("ready")
    started.ask(1, 2)
    started.worker.end()
    assert started.hear("bye")[-1]["kind"] == "bye"
    started.hang_up()
    assert started.whole is True


def serve(connection, seconds: float) -> None:
    def load(on_step):
        time.sleep(seconds)
        return Stuck(TEXTS)

    module.BEAT_SECONDS = 0.05
    module.END_SECONDS = 0.3
    Worker(Channel(connection), 0, load).run()


class Stuck(ScriptedEngine):
    """Hears nothing any more."""

    def poll(self) -> list[Completion]:
        time.sleep(1000)
        return []


@pytest.mark.parametrize("loading", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_a_process_that_cannot_be_interrupted_ends_all_the_same(loading, asked):
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=serve, args=(its, 1000.0 if loading else 0.0), daemon=True)
    process.start()
    its.close()
    channel = Channel(mine)
    while channel.receive()["kind"] != ("hello" if loading else "ready"):
        pass
    if asked:
        channel.send("requests", requests=[asdict(Request(1, "p", "o", (), ""))])
        channel.send("end")
        kinds = []
        while message := channel.receive():
            kinds.append(message["kind"])
        assert kinds[-1] == "bye"
    else:
        channel.close()
    process.join(30)
    # Stuck in loading it has given nothing up; stuck in generating, an end that was asked for is an end.
    assert process.exitcode == (0 if asked else 1)
