"""Build the rules that the candidates of a category must satisfy.

In one step, a completion holds whole records. In two steps, it holds tasks, and a later request asks for the answer of each.
A chat model may also get a task of one step alone, in a later request.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from self_instruct.formats import Block
from self_instruct.generation.answers import whole_reply
from self_instruct.generation.categories.category import ALL, MISSING, NONE, Category
from self_instruct.generation.judging import ORPHAN_REASONS, Rules, candidates, check_by
from self_instruct.generation.task_lists import listed_tasks
from self_instruct.novelty.comparison import Bounds
from self_instruct.records import Record
from self_instruct.rules.filters import Filter, about_tasks
from self_instruct.rules.validators import Validator, build_validators
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

_REASONS_OF_EMPTY_OUTPUTS = ("no_answer", "no_final_answer", "no_text", "no_code")


def category_rules(
    category: Category, filters: Sequence[Filter], bounds: Bounds, quota: int | None, tasks: int, num_answers: int = 1
) -> Rules:
    """Build the rules of a category: at most `quota` of its records are kept, a request asks for `tasks` tasks, and a task that
    waits gets `num_answers` answers.
    """
    whole = check_by(filters, build_validators(category.validators))
    if not category.waits:
        return Rules(category.format, partial(candidates, category.format), whole, bounds, quota)
    alone, missing = category.answered_alone != NONE, category.answered_alone == MISSING
    own = category.instruction_validators or (category.validators if alone else ())
    of_task = check_by(about_tasks(filters), [_for_tasks(item) for item in build_validators(own)])
    readers: dict[str, Callable[[Entry], list[Verdict]]] = {
        ALL: partial(listed_tasks, "input" in category.format.fields, single=tasks == 1, without_code=True),
        MISSING: partial(candidates, category.format, orphans=ORPHAN_REASONS),
        NONE: partial(_tasks, category),
    }
    parse, answer = readers[category.answered_alone], whole_reply if alone else partial(_answer, category)
    return Rules(category.format, parse, whole, bounds, quota, of_task, answer, missing, num_answers)


def _tasks(category: Category, entry: Entry) -> list[Verdict]:
    """Return the tasks of a first step. Outputs are removed: some models write them although only tasks are asked for."""
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
    """Return the block of a task, with the output from the completion of the second step."""
    return category.format.parse(entry.answer, entry.number, entry.cut, task)[0]


def _for_tasks(validator: Validator) -> Validator:
    """Return a validator that ignores the reasons that an empty output causes, for tasks without an answer."""

    def check(record: Record, variables: Mapping[str, str]) -> Record | str:
        found = validator(record, variables)
        return record if isinstance(found, str) and found.partition(":")[0] in _REASONS_OF_EMPTY_OUTPUTS else found

    return check
