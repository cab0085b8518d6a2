"""Check trivia, word games and riddles, whose tasks state constraints on the letters of the answer."""

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, occurs_in, stated_answer
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
"""The possible reasons for an answer that violates a constraint of the task."""  # fmt: skip


def constraints() -> Validator:
    """Reject with `no_answer`, or with the name of a constraint that the answer violates, such as `starts_with`."""

    def validator(record: Record, variables: Variables) -> Record | str:
        if not bare(record.output):
            return "no_answer"
        found = (constraint.drop_reason(record.output) for constraint in stated_constraints(record.task))
        return next((reason for reason in found if reason), record)

    return validator


def wordgame(required: bool = False) -> Validator:
    """Return the validator `constraints`; with `required`, also reject a task without constraints with `no_constraint`."""
    check_constraints = constraints()

    def validator(record: Record, variables: Variables) -> Record | str:
        if required and not stated_constraints(record.task):
            return "no_constraint"
        return check_constraints(record, variables)

    return validator


def riddle() -> Validator:
    """Reject with `no_answer`, or with `answer_in_question` if the task contains a short answer (up to six content words)."""

    def validator(record: Record, variables: Variables) -> Record | str:
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        answer_words = content_words(answer)
        if 0 < len(answer_words) <= 6 and occurs_in(" ".join(answer_words), record.task):
            return f"answer_in_question: {' '.join(answer_words)}"
        return record

    return validator
