"""The exception that a user sees as a message instead of a traceback, and texts shared by such messages."""

FILE_ONLY = {"file_only": True}
"""The `extra` argument of a log event that goes to the log file only, not to standard error."""


class UserError(Exception):
    """A mistake that the user can fix: the message says what was given, why it cannot work and what to change (exit code 2).

    `rank` is the rank that found it if it is the only one; None if every rank of a launch finds the same mistake.
    """

    def __init__(self, message: str, rank: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank


def install(extra: str) -> str:
    """Return the command that installs an extra of setup.cfg."""
    return f"pip install -e '.[{extra}]' in the project's directory"
