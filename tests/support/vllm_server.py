"""A stand-in for the command `vllm`: `vllm serve MODEL --host HOST --port PORT ...`, with its /health and its key.

The first server on LAST_HOST ends after some answers, as vLLM does when an engine dies. It notes its start in STARTS, a folder.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.support.endpoint_server import EndpointServer

ANSWERS = 5


class Server(EndpointServer):
    """Also answers /health, and ends the process after `limit` answers."""

    limit: int | None = None

    async def _answer(self, path: str, *more: Any) -> None:
        if path == "/health":
            await self._send(more[-1], 200, {})
            return
        await super()._answer(path, *more)
        if self.limit is not None and sum(self.answered.values()) >= self.limit:
            os._exit(7)


def main() -> None:
    command, model, *words = sys.argv[1:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    if command != "serve" or "--mistake" in options:
        sys.exit("error: unrecognized arguments: --mistake")
    host = options["--host"]
    first = Path(os.environ["STARTS"]) / host
    served = Server(int(options["--port"]), host, model=model, key=os.environ["VLLM_API_KEY"], tasks=True, latency=0.1)
    if not first.exists() and host == os.environ["LAST_HOST"]:
        served.limit = ANSWERS
    first.touch()
    with served:
        sys.stdin.read()
        served._thread.join()


if __name__ == "__main__":
    main()
