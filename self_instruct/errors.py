"""The one exception that a user sees as a message instead of a traceback."""


class UserError(Exception):
    """A mistake that the user can mend: says what was given, why it cannot work and what to change (exit code 2).

    `rank` names the process that alone knows of it; None for what every process of a launch finds alike.
    """

    def __init__(self, message: str, rank: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank
