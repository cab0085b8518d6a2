"""Validators: checks of the records of a category, such as distinct options, correct arithmetic, or code without prose.

A validator takes a record and the variables of its request (topic, language, letter, ...). It returns the record, possibly
corrected, or the reason to reject it: one word, optionally with details, such as `no_answer` or `many_blanks: 2`. A record that
it cannot check passes; if it raises an exception, the record is rejected with `rule_failed`. Every validator takes linear time
in the length of the texts, which may be hostile. Some remember earlier records, so build a new list of validators for each run;
their decisions depend only on the order of the records.

To add one, write a function in one of these files that takes the parameters and returns the validator, add its name and reasons
to `VALIDATORS` and a line to `_MAKERS`, and test it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from self_instruct.records import Record
from self_instruct.rules.failures import guarded
from self_instruct.rules.validators.arithmetic import arithmetic
from self_instruct.rules.validators.blanks import fill_in_the_blank
from self_instruct.rules.validators.choices import multiple_choice
from self_instruct.rules.validators.code import plain_code
from self_instruct.rules.validators.contract import Validator, Variables
from self_instruct.rules.validators.editing import editor
from self_instruct.rules.validators.grounding import closed_context, needless_context
from self_instruct.rules.validators.parameters import checked
from self_instruct.rules.validators.reasoning import cot, counterfactual, theory_of_mind
from self_instruct.rules.validators.wordgames import CONSTRAINTS, constraints, riddle, wordgame
from self_instruct.rules.validators.writing import writing

VALIDATORS: dict[str, tuple[str, ...]] = {
    "multiple_choice": (
        "no_options", "same_options", "no_answer", "not_an_option", "letter_disagrees", "wrong_letter", "letter_overused",
    ),
    "constraints": ("no_answer", *CONSTRAINTS),
    "arithmetic": ("wrong_sum", "wrong_result"),
    "plain_code": ("prose_around_code", "several_blocks", "no_code", "does_not_compile"),
    "fill_in_the_blank": ("no_blank", "many_blanks", "no_answer", "answer_in_text", "answer_too_long"),
    "closed_context": (
        "grammar", "no_answer", "answered_anyway", "context_does_not_help", "citation", "no_citation", "unsupported",
    ),
    "needless_context": ("context_does_not_help",),
    "counterfactual": ("no_context", "no_answer", "unsupported", "answers_from_memory", "ignores_context"),
    "theory_of_mind": ("no_story", "no_question", "no_answer", "answer_not_in_story"),
    "wordgame": ("no_constraint", "no_answer", *CONSTRAINTS),
    "riddle": ("no_answer", "answer_in_question"),
    "writing": ("no_text", "wrong_word_count", "wrong_lines", "wrong_paragraphs"),
    "editor": ("nothing_to_edit", "no_answer", "unchanged"),
    "cot": ("no_reasoning", "no_final_answer", "answers_disagree"),
}  # fmt: skip
"""Every validator by name, with its possible reasons."""

_MAKERS: dict[str, Callable[..., Validator]] = {
    "multiple_choice": multiple_choice,
    "constraints": constraints,
    "arithmetic": arithmetic,
    "plain_code": plain_code,
    "fill_in_the_blank": fill_in_the_blank,
    "closed_context": closed_context,
    "needless_context": needless_context,
    "counterfactual": counterfactual,
    "theory_of_mind": theory_of_mind,
    "wordgame": wordgame,
    "riddle": riddle,
    "writing": writing,
    "editor": editor,
    "cot": cot,
}


def add_validator(name: str, reasons: tuple[str, ...], maker: Callable[..., Validator]) -> None:
    """Add a validator to `VALIDATORS`. Raises ValueError if another validator has the name."""
    if name in VALIDATORS and _MAKERS[name] is not maker:
        raise ValueError(f"a validator named {name} already exists; choose another name")
    VALIDATORS[name], _MAKERS[name] = reasons, maker


def build_validators(specs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Validator]:
    """Return the validators of a run in order, built from their names and parameters.

    Raises UserError for an unknown name or parameter, and for an invalid value.
    """
    return [guarded(name, checked(name, parameters, _MAKERS), Record) for name, parameters in specs]


def validate(validators: Sequence[Validator], record: Record, variables: Variables) -> Record | str:
    """Apply each validator to the record that the previous one returned; return the last record or the first reason."""
    for validator in validators:
        found = validator(record, variables)
        if isinstance(found, str):
            return found
        record = found
    return record
