"""Messages between two processes: JSON objects, each of a `kind`. Sending never waits, however busy the other side is.

Only JSON passes, so nothing that comes in can run code. Knows nothing of what the messages mean.
"""

import json
import queue
import threading
from multiprocessing.connection import Connection
from typing import Any

FLUSH_SECONDS = 10.0


class Channel:
    """One end of a connection. Any thread may send; one thread receives."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, daemon=True, name="channel")
        self._writer.start()

    def send(self, kind: str, **content: Any) -> None:
        """Queues a message. What cannot be delivered because the other side has gone is forgotten."""
        self._outgoing.put(json.dumps({"kind": kind, **content}).encode())

    def receive(self) -> dict[str, Any] | None:
        """Waits for the next message; None when the other side has gone."""
        try:
            return json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None

    def close(self) -> None:
        """Delivers what is queued, if the other side takes it in time, and hangs up."""
        self._outgoing.put(None)
        self._writer.join(FLUSH_SECONDS)
        self.connection.close()

    def _write(self) -> None:
        while (message := self._outgoing.get()) is not None:
            try:
                self.connection.send_bytes(message)
            except OSError:
                return
