"""Run a reviewer and print its summary; shared by judge, self-consistency and verify."""

from typing import TYPE_CHECKING

from self_instruct.config.program import command_line
from self_instruct.runs import logs

if TYPE_CHECKING:
    from self_instruct.review.ask import Reviewer


def run_review(reviewer: "Reviewer") -> int:
    """Ask the missing questions, write the kept records, print the summary, and return the exit code."""
    from self_instruct.review.ask import review

    logs.configure(reviewer.config.reporting.log_level)
    ended = review(reviewer, command_line())
    if ended.text is not None:
        print(ended.text)
    return ended.code
