"""Sharing requests by tickets: pytest tests/test_distributed.py"""

import threading

import pytest
import torch.distributed

from self_instruct.distributed import SharedEngine, Store, StoreGone, World, current_world, serve
from self_instruct.engines.base import Request
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError

TEXTS = {index: (f"text {index}", False) for index in range(40)}


def requests(*indices: int) -> list[Request]:
    return [Request(index, "a prompt", "1. Task:\n", ("stop",), "0") for index in indices]


@pytest.fixture
def stores():
    """The launcher's store as three processes see it."""
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    clients = [torch.distributed.TCPStore("127.0.0.1", server.port, is_master=False) for _ in range(3)]
    yield [Store(torch.distributed.PrefixStore("test", store)) for store in clients]
    del server  # it serves as long as it is referred to


def test_every_request_is_answered_once_and_all_ranks_take_part(stores):
    workers = [
        threading.Thread(target=serve, args=(ScriptedEngine(TEXTS, rank), stores[rank], 2, lambda: None))
        for rank in (1, 2)
    ]
    for worker in workers:
        worker.start()
    engine = SharedEngine(ScriptedEngine(TEXTS, 0), stores[0], 2)
    engine.submit(requests(*range(25)))
    found = []
    while completions := engine.poll():
        found += completions
        if len(found) < 12:
            engine.submit(requests(25 + len(found)))
    engine.close()
    for worker in workers:
        worker.join(timeout=30)
        assert not worker.is_alive()
    indices = [item.request for item in found]
    assert len(indices) == len(set(indices)) >= 25 and set(range(25)) <= set(indices)
    assert all(item.text == f"text {item.request}" for item in found)
    assert {item.rank for item in found} > {0}


def test_alone_it_is_the_engine_itself(stores):
    engine = SharedEngine(ScriptedEngine(TEXTS, 0), stores[0], 4)
    assert (engine.capacity, engine.context_length) == (40, None) and engine.model_revision.startswith("script-")
    assert engine.prompt_tokens("two words", "1.") == 3 and engine.poll() == []
    engine.submit(requests(3, 1))
    assert sorted(item.request for _ in range(2) for item in engine.poll()) == [1, 3] and engine.poll() == []


def test_an_interruption_returns_what_was_handed_in(stores):
    engine = SharedEngine(ScriptedEngine(TEXTS, 0), stores[0], 1)
    engine.submit(requests(0, 1))
    other = SharedEngine(ScriptedEngine(TEXTS, 1), stores[1], 1)
    row = {"request": 1, "text": "whole", "finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
    stores[1].put("completion/0", row)
    engine.interrupt()
    other.interrupt()
    assert [item.text for item in engine.poll()] == ["whole"] and engine.poll() == []


@pytest.mark.parametrize(
    ("rank", "size", "world"), [(None, None, World(0, 1)), ("0", "1", World(0, 1)), ("3", "4", World(3, 4))]
)
def test_the_world_is_what_the_launcher_says(monkeypatch, rank, size, world):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert current_world() == world and world.is_main == (world.rank == 0)


@pytest.mark.parametrize(
    ("rank", "size"), [(None, "2"), ("0", None), ("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0"), ("", "")]
)
def test_a_world_that_cannot_be_is_refused(monkeypatch, rank, size):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="no world"):
        current_world()


def test_a_store_that_is_gone_is_told_after_what_was_generated_is_returned():
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    client = Store(torch.distributed.TCPStore("127.0.0.1", server.port, is_master=False))
    engine = SharedEngine(ScriptedEngine(TEXTS, 0), client, 1)
    engine.submit(requests(0, 1))
    scripted_poll = engine._engine.poll

    def poll():
        nonlocal server
        server = None
        return scripted_poll()

    engine._engine.poll = poll
    assert [item.text for item in engine.poll()] == ["text 0"]
    with pytest.raises(StoreGone, match="the launcher's store is gone"):
        engine.poll()
    engine.close()
    serve(ScriptedEngine(TEXTS, 1), client, 1, lambda: None)
