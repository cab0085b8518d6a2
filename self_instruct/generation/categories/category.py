"""A category: one kind of task, as its file describes it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from self_instruct.formats import RecordFormat
from self_instruct.generation.categories.template import Template
from self_instruct.records import Record

TOPIC, COUNT = "topic", "count"
GIVEN = (TOPIC, COUNT)
"""Variables that every template may use: the topic of the request, and the number of tasks that it asks for."""

DRAWING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Sampling options that decide how a token is drawn."""
SAMPLING = ("max_new_tokens", *DRAWING)
OPTIONS = (
    *SAMPLING, "rouge_threshold", "embedding_threshold", "min_instruction_words", "max_instruction_words", "filter_rules",
    "filter_keywords", "filter_openings", "keep_programming", "answer_system_prompt",
)  # fmt: skip
"""Options of a run that a category may set."""

LETTER = "letter"
"""The variable with the letter of the right option. It is no part of a request that sends a task alone, whose options exist."""
ALL, MISSING, NONE = "all", "missing", "none"
"""The values of `answered_alone`."""
ALONE = ("answered_alone", "answer_system_prompt")
"""Keys of a category file that have an effect only if tasks are sent alone to a chat model."""


@dataclass(frozen=True)
class Variable:
    """A template variable. Each request gets one of `values`, drawn at random or, if `in_turn`, in rotation, so that all are
    used equally often. `shown` maps a value to its text in a prompt, if that is not the value itself.
    """

    values: tuple[str, ...]
    in_turn: bool = False
    shown: Mapping[str, str] | None = None

    def value(self, seed: str, turn: int) -> str:
        """Return the value for a request. `seed` determines a random draw; `turn` counts the category's requests from 0."""
        return self.values[turn % len(self.values)] if self.in_turn else random.Random(seed).choice(self.values)

    def text(self, value: str) -> str:
        """Return the text of a value in a prompt."""
        return (self.shown or {}).get(value, value)


@dataclass(frozen=True)
class Category:
    """One kind of task.

    `steps` is 1 if a completion has tasks with their answers, 2 if each task is answered by a separate request.
    `prompt` is the beginning of a prompt and `request` its end; `response_prompt` and `response_request` are those of
    the second step. `answered_alone` says which tasks are sent to a chat model alone, as a user's message: `all` of them, those
    whose answer is `missing` or rejected, or `none`. `validators` check whole records; `instruction_validators` check tasks
    without an answer. `options` are run options that the category overrides. `sha256` is the hash of the file's content without
    the keys in `ALONE`; `alone_sha256` is the hash of these keys and their values.
    """

    name: str
    description: str
    format: RecordFormat
    steps: int
    prompt: Template
    request: Template
    response_prompt: Template
    response_request: Template
    demonstrations: tuple[Record, ...]
    demonstrations_per_prompt: int
    tasks_per_request: int
    variables: Mapping[str, Variable]
    validators: tuple[tuple[str, Mapping[str, Any]], ...]
    instruction_validators: tuple[tuple[str, Mapping[str, Any]], ...]
    options: Mapping[str, Any]
    answered_alone: str
    sha256: str
    alone_sha256: str

    @cached_property
    def first_format(self) -> RecordFormat:
        """The format of the first step, as `first_format` returns it."""
        return first_format(self.format, self.steps)

    @property
    def waits(self) -> bool:
        """Whether tasks wait for an answer from a second request."""
        return self.steps == 2 or self.answered_alone != NONE

    def asked_as(self, recipe: str, orphans: bool) -> "Category":
        """Return the category with the `answered_alone` that holds for a recipe: with `chat`, that of its file. With `few_shot`
        and `orphans`, tasks of one step without a valid answer are sent alone, unless the file says `none`.
        """
        if recipe == "chat":
            return self
        alone = orphans and self.steps == 1 and self.answered_alone != NONE
        return replace(self, answered_alone=MISSING if alone else NONE)

    @property
    def uses_topics(self) -> bool:
        """Whether its prompts use a topic from the list of topics."""
        return TOPIC not in self.variables and any(TOPIC in template.names for template in self.templates)

    @property
    def templates(self) -> tuple[Template, ...]:
        """The templates of all prompts."""
        return self.prompt, self.request, self.response_prompt, self.response_request

    def texts(self, values: Mapping[str, str], count: int) -> dict[str, str]:
        """Return the text of each variable for a request that asks for `count` tasks."""
        own = {name: variable.text(values[name]) for name, variable in self.variables.items() if name in values}
        return {**values, **own, COUNT: str(count)}

    def longest(self, topics: tuple[str, ...]) -> dict[str, str]:
        """Return the values that make the prompts longest."""
        values = {
            name: max(item.values, key=lambda value: len(item.text(value))) for name, item in self.variables.items()
        }
        return {**({TOPIC: max(topics, key=len)} if self.uses_topics else {}), **values}


def first_format(format: RecordFormat, steps: int) -> RecordFormat:
    """Return the format of the first step: whole blocks, or with two steps all fields except the output."""
    return format if steps == 1 else replace(format, triggers=format.triggers[:-1])
