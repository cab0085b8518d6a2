"""A stand-in for the command `vllm`: `vllm serve MODEL --host HOST --port PORT ...`, with its /health and its key.

The first server on FAILING_HOST fails after some answers: it exits or, with FAILURE=hang, answers with errors only. A server on
several nodes waits until the other nodes have connected to the master's port; these never exit by themselves. Each start adds a
line to the node's file in the folder STARTS.
"""

import argparse
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.endpoint_server import EndpointServer

ANSWERS = 5


class Server(EndpointServer):
    """Also answers /health, and fails after `limit` answers."""

    limit: int | None = None

    async def _answer(self, path: str, *more: Any) -> None:
        failed = self.limit is not None and sum(self.answered.values()) >= self.limit
        if failed and os.environ.get("FAILURE") != "hang":
            os._exit(7)
        if failed or path == "/health":
            await self._send(more[-1], 500 if failed else 200, {})
            return
        await super()._answer(path, *more)


def join(address: str, port: int) -> None:
    """Connect to the master, and keep the connection open."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, port)):
                time.sleep(3600)
        except OSError:
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("command", "model", "--host", "--master-addr"):
        parser.add_argument(name)
    for name in ("--port", "--nnodes", "--node-rank", "--master-port", "--max-model-len", "--pipeline-parallel-size"):
        parser.add_argument(name, type=int, default=1)
    parser.add_argument("--headless", action="store_true")
    options = parser.parse_args()
    node = os.environ["SLURMD_NODENAME"]
    starts = Path(os.environ["STARTS"]) / node
    first = not starts.exists()
    with starts.open("a") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
    if options.headless:
        join(options.master_addr, options.master_port)
        return
    if options.nnodes > 1:
        with socket.create_server((options.master_addr, options.master_port)) as master:
            for _ in range(options.nnodes - 1):
                master.accept()
    served = Server(
        options.port, options.host, model=options.model, key=os.environ["VLLM_API_KEY"], tasks=True, latency=0.1
    )
    if first and node == os.environ["FAILING_HOST"]:
        served.limit = ANSWERS
    with served:
        sys.stdin.read()
        served._thread.join()


if __name__ == "__main__":
    main()
