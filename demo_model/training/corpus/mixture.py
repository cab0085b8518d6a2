"""How often each family of tasks is drawn, and which of its draws may be used for training.

Families are listed by the function that makes their tasks.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from demo_model.training.corpus.family_about_code import (
    make_complexity,
    make_computation,
    make_explanation,
    make_repair,
    make_tests,
    make_translation,
)
from demo_model.training.corpus.family_class import make_class
from demo_model.training.corpus.family_pattern import make_conversion, make_regex
from demo_model.training.corpus.family_query import make_shell, make_sql
from demo_model.training.corpus.family_select import make_expression, make_function
from demo_model.training.corpus.family_skills import make_list_skill, make_mapping_skill, make_string_skill
from demo_model.training.corpus.task import Task, is_held_out

WORDS_ALLOWED = range(8, 46)

Family = Callable[[random.Random], Task]

WEIGHTS: dict[Family, int] = {
    make_function: 32,
    make_expression: 6,
    make_list_skill: 9,
    make_string_skill: 9,
    make_mapping_skill: 8,
    make_class: 6,
    make_sql: 8,
    make_shell: 5,
    make_regex: 4,
    make_conversion: 2,
    make_repair: 4,
    make_explanation: 3,
    make_complexity: 2,
    make_tests: 1,
    make_translation: 3,
    make_computation: 3,
}
FAMILIES = tuple(WEIGHTS)
WITH_INPUT: tuple[Family, ...] = (make_repair, make_explanation, make_complexity, make_translation, make_computation)


def draw_task(rng: random.Random, with_input: bool = False) -> Task:
    """A task of any family whose pair may be trained on; `with_input` prefers families that have a real input."""
    while True:
        if with_input:
            family: Family = rng.choice(WITH_INPUT)
        else:
            family = rng.choices(FAMILIES, weights=tuple(WEIGHTS.values()))[0]
        task = family(rng)
        if not is_held_out(task.pair) and acceptable(task):
            return task


def acceptable(task: Task) -> bool:
    """Whether a task has a sensible length and a plain beginning."""
    words = len(task.instruction.split())
    plain = task.instruction[0].isalpha() and task.instruction.isascii()
    return words in WORDS_ALLOWED and plain and len(task.output.splitlines()) <= 12
