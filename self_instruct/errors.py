"""The one exception that a user sees as a message instead of a traceback, and what several such messages say."""

FILE_ONLY = {"file_only": True}
"""`extra` of a log event that goes to the log file and not to the error stream."""


class UserError(Exception):
    """A mistake that the user can mend: says what was given, why it cannot work and what to change (exit code 2).

    `rank` names the process that alone knows of it; None for what every process of a launch finds alike.
    """

    def __init__(self, message: str, rank: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank


def install(extra: str) -> str:
    """What to type for the packages of an extra of setup.cfg."""
    return f"pip install -e '.[{extra}]' in the project's folder"
