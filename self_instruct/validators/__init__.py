"""What a record of a category must be: a multiple choice with one right option, sums that are right, code and nothing else.

A validator takes a record and the variables of its request (topic, language, letter, ...) and returns the record, as it is
or mended, or the reason why it is none: one word, perhaps with what was seen, as `no_answer` or `two_blanks: 2 blanks`. What it
cannot check it lets pass. Some remember earlier records, so a list of validators serves one run; what they say follows
from the order of the records alone.

Adding one is a function in one of these files that takes the parameters and returns the validator, its name with its reasons in
`VALIDATORS`, a line in `_MAKERS`, a test.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from self_instruct.records import Record
from self_instruct.validators.blanks import fill_in_the_blank
from self_instruct.validators.contract import Validator, Variables
from self_instruct.validators.editing import editor
from self_instruct.validators.parameters import checked
from self_instruct.validators.riddles import riddle

VALIDATORS: dict[str, tuple[str, ...]] = {
    "fill_in_the_blank": ("no_blank", "many_blanks", "no_answer", "answer_in_text", "answer_too_long"),
    "riddle": ("no_answer", "answer_in_question"),
    "editor": ("nothing_to_edit", "no_answer", "unchanged"),
}
"""The name of every validator, and the reasons that it may give."""

_MAKERS: dict[str, Callable[..., Validator]] = {
    "fill_in_the_blank": fill_in_the_blank,
    "riddle": riddle,
    "editor": editor,
}


def build_validators(specs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Validator]:
    """The validators of a run from names with their parameters, in the order in which they are asked.

    Raises `UserError` for an unknown name, with the nearest one, and for a parameter that is unknown or has a wrong value.
    """
    return [checked(name, parameters, _MAKERS) for name, parameters in specs]


def validate(validators: Sequence[Validator], record: Record, variables: Variables) -> Record | str:
    """The record as all validators leave it, each seeing what those before it have mended; or the first reason."""
    for validator in validators:
        found = validator(record, variables)
        if isinstance(found, str):
            return found
        record = found
    return record
