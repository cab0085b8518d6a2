"""What the candidates of a category must satisfy, in one step or in two, where tasks come first and their answers decide."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from self_instruct.formats import Block
from self_instruct.generation.categories.category import Category
from self_instruct.generation.judging import Rules, candidates, check_by
from self_instruct.novelty.comparison import Bounds
from self_instruct.records import Record
from self_instruct.rules.filters import Filter, about_tasks
from self_instruct.rules.validators import Validator, build_validators
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

NO_ANSWER = "no_answer"


def category_rules(category: Category, filters: Sequence[Filter], bounds: Bounds, quota: int | None) -> Rules:
    """The rules of a category; at most `quota` of its records are kept."""
    whole = check_by(filters, build_validators(category.validators))
    if category.steps == 1:
        return Rules(category.format, partial(candidates, category.format), whole, bounds, quota)
    of_task = check_by(
        about_tasks(filters), [_of_tasks(item) for item in build_validators(category.instruction_validators)]
    )
    return Rules(category.format, partial(_tasks, category), whole, bounds, quota, of_task, partial(_answer, category))


def _tasks(category: Category, entry: Entry) -> list[Verdict]:
    """Return the tasks of the first of two steps, without outputs that a model wrote nevertheless."""
    label = re.compile(
        rf"^[ \t]*\d{{1,6}}[.)][ \t]*{re.escape(category.format.triggers[-1][1])}[ \t]*:", re.MULTILINE | re.IGNORECASE
    )

    def cut(text: str) -> str:
        return label.split(text)[0].strip()

    found = candidates(category.first_format, entry)
    return [
        replace(
            item,
            record=replace(item.record, instruction=cut(item.record.instruction), input=cut(item.record.input)),
            task=True,
        )
        for item in found
    ]


def _answer(category: Category, entry: Entry, task: Record) -> Block:
    """Return the block that a completion of the second step finishes."""
    return category.format.parse(entry.answer, entry.number, entry.cut, task)[0]


def _of_tasks(validator: Validator) -> Validator:
    """Return the validator for tasks without an answer, ignoring the reason `no_answer`."""

    def asked(record: Record, variables: Mapping[str, str]) -> Record | str:
        found = validator(record, variables)
        return record if isinstance(found, str) and found.partition(":")[0] == NO_ANSWER else found

    return asked
