"""Trivia and word games: constraints on letters."""

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, stands_in, stated_answer
from self_instruct.rules.validators.constraints import stated_constraints
from self_instruct.rules.validators.contract import Validator, Variables

CONSTRAINTS = (
    "starts_with",
    "ends_with",
    "contains",
    "avoids",
    "letters",
    "word_count",
    "anagram",
    "palindrome",
    "acrostic",
)
"""The reasons that the constraints of a task can give."""  # fmt: skip


def constraints() -> Validator:
    """Reject with `no_answer`, or with the name of a constraint that the answer violates, such as `starts_with`."""

    def validator(record: Record, variables: Variables) -> Record | str:
        if not bare(record.output):
            return "no_answer"
        found = (constraint.objection(record.output) for constraint in stated_constraints(record.task))
        return next((reason for reason in found if reason), record)

    return validator


def wordgame(required: bool = False) -> Validator:
    """As `constraints`; with `required`, also reject a task without constraints with `no_constraint`."""
    asked = constraints()

    def validator(record: Record, variables: Variables) -> Record | str:
        if required and not stated_constraints(record.task):
            return "no_constraint"
        return asked(record, variables)

    return validator


def riddle() -> Validator:
    """Reject with `no_answer`, or with `answer_in_question` if a short answer (up to six words) is in the question."""

    def validator(record: Record, variables: Variables) -> Record | str:
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        core = content_words(answer)
        if 0 < len(core) <= 6 and stands_in(" ".join(core), record.task):
            return f"answer_in_question: {' '.join(core)}"
        return record

    return validator
