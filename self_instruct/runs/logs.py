"""Logging to standard error and to the log files of a run directory, set up in the same way in every process of a run.

Each process writes its own file, `logs/rank-N.jsonl`, with one JSON object per event: time in UTC, level, rank, host, process,
message, and numbers for some events. Events are buffered until the directory holds a run, so that a refused launch leaves no
file. A log that cannot be written is reported once and then skipped. Values of environment variables whose names look like
secrets are replaced everywhere. Characters that control a terminal are escaped, because file names, model output and server
responses may contain them.
"""

import fcntl
import io
import logging
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from self_instruct.records import json_line
from self_instruct.runs.layout import DESCRIPTION, LOGS

_OURS = "self_instruct"
_BUFFERED = 1000
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", re.IGNORECASE)
_SHORTEST_SECRET = 8
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # line separators and the characters that change the text's direction
)
_BAR_MOVES = re.compile(r"\r|\n*(?:\x1b\[A)+\Z")
"""How tqdm moves the cursor to redraw a bar: to the start of the line before the bar, or up in a write of its own. A file name
at the start of a write must not move it up, over earlier lines."""


def configure(level: str = "info") -> None:
    """Set up plain log lines, only errors of libraries, and escapes for characters that the terminal cannot show or obeys."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        if stream is not None and not isinstance(stream, EscapedStream):
            setattr(sys, name, EscapedStream(stream))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setLevel(level.upper())
            handler.setFormatter(_Plain())
            handler.addFilter(_for_people)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if level == "debug" else logging.INFO)
    for noisy in ("httpx", "transformers", "sentence_transformers", "datasets", "vllm"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def write_to(folder: Path, rank: int, part: str = "") -> None:
    """Write log events to a file of a run directory from now on; `part` distinguishes the processes of a rank."""
    name = f"rank-{rank}-{part}.jsonl" if part else f"rank-{rank}.jsonl"
    logging.getLogger().addHandler(LogFile(folder / LOGS / name, folder / DESCRIPTION, rank))


def close() -> None:
    """Stop writing log files."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, LogFile)]:
        root.removeHandler(handler)
        handler.close()


def escaped(text: str) -> str:
    """Return the text with control characters, except tabs and line feeds, as escapes such as `\\x1b`."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


class EscapedStream:
    """A text stream that escapes control characters; bytes written to its `buffer` stay as they are."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text escaped, except for the cursor movement of a progress bar at its start."""
        move = _BAR_MOVES.match(text)
        kept = move[0] if move else ""
        self._stream.write(kept + escaped(text[len(kept) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line escaped."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LogFile(logging.Handler):
    """Append events to a file once the file `sign` exists. If another process already writes the file, this one does not."""

    def __init__(self, path: Path, sign: Path, rank: int) -> None:
        super().__init__()
        self._path, self._sign, self._rank = path, sign, rank
        self._lines: deque[bytes] = deque(maxlen=_BUFFERED)
        self._file: BinaryIO | None = None
        self._given_up = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write or buffer an event. Never raises OSError."""
        if self._given_up:
            return
        self._lines.append(json_line(self._row(record)))
        try:
            if self._file is None and self._sign.exists():
                self._open()
            if self._file is not None:
                # One write per line, so that a kill in between leaves whole lines.
                while self._lines:
                    self._file.write(self._lines[0])
                    self._lines.popleft()
        except BlockingIOError:
            self._given_up = True  # another launch writes it, and its lock will refuse this one
        except OSError as error:
            self._given_up = True
            sys.stderr.write(
                f"{self._path}: cannot be written ({error.strerror}); the run continues without this log\n"
            )

    def close(self) -> None:
        """Close the file."""
        self._given_up = True
        if self._file is not None:
            self._file.close()
        super().close()

    def _open(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        file = self._path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError:
            pass  # a file system without locks
        if file.tell():
            with self._path.open("rb") as written:
                written.seek(-1, os.SEEK_END)
                if written.read() != b"\n":  # a half-written line of a launch that was killed
                    file.write(b"\n")
        self._file = file

    def _row(self, record: logging.LogRecord) -> dict[str, Any]:
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "time": time, "level": record.levelname.lower(), "rank": self._rank, "host": socket.gethostname(),
            "pid": record.process, "source": record.name, "message": escaped(without_secrets(message)),
            **getattr(record, "figures", {}),
        }  # fmt: skip


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def without_secrets(text: str) -> str:
    """Return the text with the values of environment variables whose names look like secrets replaced."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET.search(name):
            text = text.replace(value, f"<{name}>")
    return text


def _for_people(record: logging.LogRecord) -> bool:
    return not getattr(record, "file_only", False)
