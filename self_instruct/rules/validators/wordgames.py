"""Trivia and word games: the letters that the task asks for."""

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
"""The reasons that a constraint of the task may give."""  # fmt: skip


def constraints() -> Validator:
    """`no_answer`, or the name of a constraint that the task states and the answer does not keep to, as `starts_with`."""

    def validator(record: Record, variables: Variables) -> Record | str:
        if not bare(record.output):
            return "no_answer"
        found = (constraint.objection(record.output) for constraint in stated_constraints(record.task))
        return next((reason for reason in found if reason), record)

    return validator


def wordgame(required: bool = False) -> Validator:
    """As `constraints`; with `required` a task that states none is dropped too, as `no_constraint`."""
    asked = constraints()

    def validator(record: Record, variables: Variables) -> Record | str:
        if required and not stated_constraints(record.task):
            return "no_constraint"
        return asked(record, variables)

    return validator


def riddle() -> Validator:
    """`no_answer`; `answer_in_question` when a short answer (up to six words, as "an echo") stands in the question."""

    def validator(record: Record, variables: Variables) -> Record | str:
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        core = content_words(answer)
        if 0 < len(core) <= 6 and stands_in(" ".join(core), record.task):
            return f"answer_in_question: {' '.join(core)}"
        return record

    return validator
