"""What the candidates of a category must satisfy, in one step or in two, where tasks come first and their answers decide."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from self_instruct.formats import Block, RecordFormat
from self_instruct.generation.categories.category import Category
from self_instruct.generation.judging import AnswerRules, Rules, candidates, check_by, compared_text
from self_instruct.novelty.comparison import Bounds
from self_instruct.records import Record
from self_instruct.rules.filters import Filter, about_tasks
from self_instruct.rules.validators import Validator, build_validators
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

NO_ANSWER = "no_answer"


def category_rules(category: Category, filters: Sequence[Filter], bounds: Bounds, quota: int | None) -> Rules:
    """The rules of a category, of which at most `quota` records are kept."""
    format, whole = category.format, check_by(filters, build_validators(category.validators))

    def parse(entry: Entry) -> list[Verdict]:
        blocks = category.first_format.parse(entry.text, entry.number, entry.finish_reason == "length")
        if category.steps == 2:
            blocks = [_without_output(block, format) for block in blocks]
        return candidates(blocks, entry)

    def text(record: Record) -> str:
        return compared_text(record, format)

    if category.steps == 1:
        return Rules(parse, whole, text, bounds, quota)
    of_tasks = [_of_tasks(item) for item in build_validators(category.instruction_validators)]
    answers = AnswerRules(
        lambda entry, task: format.parse(entry.text, entry.number, entry.finish_reason == "length", task)[0], whole
    )
    return Rules(parse, check_by(about_tasks(filters), of_tasks), text, bounds, quota, answers)


def _without_output(block: Block, format: RecordFormat) -> Block:
    """A block of the first of two steps without the output that a model wrote all the same."""
    label = re.compile(
        rf"^[ \t]*\d{{1,6}}[.)][ \t]*{re.escape(format.triggers[-1][1])}[ \t]*:", re.MULTILINE | re.IGNORECASE
    )
    return replace(block, fields={name: label.split(text)[0].strip() for name, text in block.fields.items()})


def _of_tasks(validator: Validator) -> Validator:
    """The validator for tasks that have no answer yet, which is no fault of theirs."""

    def asked(record: Record, variables: Mapping[str, str]) -> Record | str:
        found = validator(record, variables)
        return record if isinstance(found, str) and found.partition(":")[0] == NO_ANSWER else found

    return asked
