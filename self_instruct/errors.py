"""The one exception that a user sees as a message instead of a traceback."""


class UserError(Exception):
    """A mistake that the user can mend: says what was given, why it cannot work and what to change (exit code 2)."""
