"""`UserError`, which is shown as a message instead of a traceback, and text shared by such messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_ONLY = {"file_only": True}
"""Pass as `extra` to log an event to the log file only, not to standard error."""


class UserError(Exception):
    """A mistake that the user can fix: the message says what was given, why it cannot work and what to change (exit code 2).

    `rank` is the only process that found the mistake, or None if every process of a launch finds it.
    """

    def __init__(self, message: str, rank: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add the file's name to an OSError that has none: errors of `write` and `fsync` do not say which file failed."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def install(extra: str) -> str:
    """Return how to install an extra from setup.cfg."""
    return f"pip install -e '.[{extra}]' in the project's directory"
