"""A launch whose store another user can reach: forged and repeated messages, a flood of garbage, and silent connections."""

import json
import os
import resource
import socket
import sys
import threading
import time
from collections import deque
from datetime import timedelta

import psutil
import pytest
import torch.distributed

from self_instruct.engines.fleet.messages import Link, StoreCarrier
from tests.support.ports import free_port
from tests.support.runs import IO, dataset, generate, rows, run, run_ranks, scripted
from tests.support.scripts import write_script

SILENT = 1_100
OPEN_FILES = 1_024  # what a process may open on most systems; less than the silent connections need
GARBAGE = 300
QUEUES = ("requests", "completions", "alive/0", "alive/1", "main/0", "main/1")


class Attacker(threading.Thread):
    """Attack a launch through the port of its store. Requests are held and returned one by one, so that the launch
    cannot end before the attack does.
    """

    def __init__(self, port: int, connections: int) -> None:
        super().__init__(daemon=True)
        self.port, self.connections, self.over = port, connections, threading.Event()
        self.silent: list[socket.socket] = []
        self.held: deque[bytes] = deque()
        self.repeated = 0

    def run(self) -> None:
        carrier = self._connect()
        self._forge(carrier)
        while len(self.held) < 30:
            self.held += self._genuine(carrier, "requests")
        for name in QUEUES:
            for number in range(GARBAGE):
                carrier.push(name, b"%d" % number * 20)
        while any(carrier.length(name) > 20 for name in QUEUES):
            self._repeat(carrier, leave=15)
            time.sleep(0.1)
        self.silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(self.connections)]
        self._forge(carrier)
        while self.held:
            self._repeat(carrier)
        self.over.wait()

    def _repeat(self, carrier: StoreCarrier, leave: int = 0) -> None:
        """Return a request three times, and then its completion, if that can be intercepted."""
        if len(self.held) <= leave:
            return
        message = self.held.popleft()
        for _ in range(3):
            carrier.push("requests", message)
        for _ in range(50):
            if found := self._genuine(carrier, "completions"):
                for _ in range(3):
                    carrier.push("completions", *found)
                self.repeated += 1
                return

    def _genuine(self, carrier: StoreCarrier, name: str) -> list[bytes]:
        """Return the next message of a queue if a process of the launch sent it."""
        message = carrier.pop(name) or b""
        if not message:
            time.sleep(0.001)
        return [message] if message[64:75] == b'{"launch": ' and b"forged" not in message else []

    def _connect(self) -> StoreCarrier:
        """Wait for the store, looking often: torch's own client would sleep for 8 s after its first refused try."""
        while not any(
            c.status == psutil.CONN_LISTEN and c.laddr.port == self.port for c in psutil.net_connections("tcp")
        ):
            time.sleep(0.02)
        while True:
            try:
                store = torch.distributed.TCPStore(
                    "127.0.0.1", self.port, is_master=False, timeout=timedelta(seconds=5)
                )
                return StoreCarrier(torch.distributed.PrefixStore("self_instruct/0", store))
            except RuntimeError:
                time.sleep(0.05)

    def _forge(self, carrier: StoreCarrier) -> None:
        forger = Link(carrier, "1", b"guess" * 8, "launch")
        for index in range(100):
            completion = {
                "request": index,
                "text": "forged",
                "finish_reason": "stop",
                "prompt_tokens": 1,
                "completion_tokens": 1,
            }
            carrier.push("completions", json.dumps({"completion": completion}).encode())
            forger.send("completions", {"completion": completion})
            forger.send("alive/1", {"failure": ["failed", "forged"]})
            forger.send("main/1", {"state": "stop"})

    def stop(self) -> None:
        self.over.set()
        self.join(60)
        for connection in self.silent:
            connection.close()


@pytest.fixture
def many_files():
    """Raise this process's limit of open files for the silent connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 2 * SILENT:
        pytest.skip("this system does not allow so many connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2 * SILENT), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


# torch's store looks up the name of each caller and serves nobody meanwhile: if that takes seconds, silent connections end a
# launch (SECURITY.md). The test limits the look-up to one second.
@pytest.mark.parametrize(("launcher", "connections"), [("torchrun", SILENT), ("variables", 0)])
def test_injected_messages_and_a_flood_change_nothing(launcher, connections, many_files, tmp_path):
    script, folder = write_script(tmp_path / "script.jsonl", 400), tmp_path / "run"
    port = free_port()
    attacker = Attacker(port, connections)
    attacker.start()
    limited = ["bash", "-c", f'ulimit -Sn {OPEN_FILES}; exec "$@"', "launch"]
    command = [IO, *scripted(script, folder, 10_000)]
    if launcher == "torchrun":
        torchrun = os.path.join(os.path.dirname(sys.executable), "torchrun")
        place = ["--nproc_per_node", 2, "--master_addr", "127.0.0.1", "--master_port", port]
        ended = run(*limited, torchrun, *place, *command, RES_OPTIONS="timeout:1 attempts:1")
    else:  # as srun and mpirun start ranks: one of them hosts the store
        ended, other = run_ranks(2, *command, port=port)
        assert other.returncode == 0 and "Traceback" not in other.stderr and "c10d" not in other.stderr, other.stderr
    attacker.stop()
    assert ended.returncode == 0, ended.stdout[:500] + ended.stderr
    assert attacker.repeated and not attacker.held and len(attacker.silent) == connections
    assert "messages of the launch were ignored" in ended.stderr and len(ended.stderr.splitlines()) < 60
    requests = [row["request"] for row in rows(folder / "completions.jsonl")]
    assert len(requests) == len(set(requests)) == 400
    undisturbed = generate(*scripted(script, tmp_path / "alone", 10_000))
    assert undisturbed.returncode == 0 and dataset(folder) == dataset(tmp_path / "alone")
