"""What the commands share that have a model review records: judge, self-consistency and verify."""

from typing import TYPE_CHECKING

from self_instruct.config.program import command_line
from self_instruct.runs import logs

if TYPE_CHECKING:
    from self_instruct.review.ask import Reviewer


def run_review(reviewer: "Reviewer") -> int:
    """Ask about what has no answer yet, write the records that are kept, print what was done, and return the exit code."""
    from self_instruct.review.ask import review

    logs.configure(reviewer.config.reporting.log_level)
    ended = review(reviewer, command_line())
    if ended.text is not None:
        print(ended.text)
    return ended.code
