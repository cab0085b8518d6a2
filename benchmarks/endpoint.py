"""Measure requests per second from a server by concurrency: python benchmarks/endpoint.py

The server is our test server in its own process. It answers every request after 50 ms, so the figures show the limits
of the engine, the client library and the CPU cores of both processes. The concurrency is fixed.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.engine import Patience

SERVER = Path(__file__).resolve().parents[1] / "tests" / "support" / "endpoint_server.py"


def measure(url: str, under_way: int, number: int) -> float:
    """Return requests per second with at most this many in flight, after a warm-up."""
    engine = connect(Endpoint([url], "m", kind="completions"), Sampling(64), Patience(concurrency=under_way))
    try:
        ask(engine, 0, 4 * under_way)
        begun = time.monotonic()
        ask(engine, 4 * under_way, number)
        return number / (time.monotonic() - begun)
    finally:
        engine.close()


def ask(engine: object, first: int, number: int) -> None:
    """Send this many requests, and wait for all answers."""
    engine.submit([Request(i, f"prompt {i}", ".", (), f"42:{i}") for i in range(first, first + number)])
    ended = 0
    while ended < number:
        ended += len(engine.poll())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--under_way", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=20, help="requests per unit of concurrency")
    options = parser.parse_args()
    command = [sys.executable, str(SERVER), json.dumps({"latency": options.latency})]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None
        url = server.stdout.readline().strip()
        print(f"latency {1000 * options.latency:g} ms")
        print(f"{'in flight':>9} {'requests/s':>11} {'of one':>7}")
        one = None
        for under_way in options.under_way:
            speed = measure(url, under_way, options.rounds * under_way)
            one = one or speed
            print(f"{under_way:>9} {speed:>11.1f} {speed / one:>6.1f}x")
        server.stdin.close()


if __name__ == "__main__":
    main()
