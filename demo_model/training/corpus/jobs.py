"""A job: one action on one selection, as wording and as code. The raw material of all families about lists.

A job has a name, statements and a meaning; the sentence around it is in `phrasing.py`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from demo_model.training.corpus.actions import Action
from demo_model.training.corpus.actions_order import ALL_ACTIONS
from demo_model.training.corpus.code_style import Layout, capital, function
from demo_model.training.corpus.objects import ObjectKind, Selection, object_kinds
from demo_model.training.corpus.task import Meaning

HINTS = {"number": "list[int]", "word": "list[str]", "record": "list[dict]"}


@dataclass(frozen=True)
class Job:
    """An action applied to a selection of a list's items."""

    action: Action
    selection: Selection

    @property
    def pair(self) -> tuple[str, str]:
        return (self.action.verb, self.selection.kind.key)

    @property
    def name(self) -> str:
        """The function's name: verb and object, as a reader would derive it."""
        verb = self.action.verb.replace(" ", "_")
        return f"{verb}_{self.selection.slug(many='{o1}' not in self.action.imperative)}"

    @property
    def argument(self) -> str:
        return self.selection.noun.argument

    @property
    def variable(self) -> str:
        return self.selection.noun.variable

    def imperative(self, rng: random.Random) -> str:
        return self._word(rng.choice(self.action.imperative.split("|")), rng)

    def result(self, rng: random.Random) -> str:
        return self._word(rng.choice(self.action.result.split("|")), rng)

    def _word(self, form: str, rng: random.Random) -> str:
        return form.format(o=self.selection.phrase(rng), o1=self.selection.phrase(rng, many=False))

    def _code(self, template: str, variable: str) -> str:
        condition = self.selection.condition(variable)
        inverse = self.selection.condition(variable, inverse=True)
        chosen = f"{variable} for {variable} in {self.argument} if {condition}"
        return template.format(x=variable, xs=self.argument, c=condition, n=inverse, sel=chosen)

    def expression(self, rng: random.Random) -> str:
        """The job as one expression, or "" if the action has none."""
        if not self.action.quick:
            return ""
        return self._code(rng.choice(self.action.quick.split("|")), self.variable)

    def body(self, rng: random.Random, loop: bool | None = None) -> str:
        """Statements that return the answer; `loop` asks for a loop or forbids it where the action has both."""
        if loop is None:
            loop = rng.random() < 0.4
        if self.action.loop and (loop or not self.action.quick):
            return self._code(self.action.loop, self.variable)
        return "return " + self.expression(rng)

    def code(self, rng: random.Random, loop: bool | None = None, layout: Layout | None = None) -> str:
        """The whole function."""
        hint = HINTS[self.selection.noun.kind]
        body = self.body(rng, loop)
        return function(self.name, self.argument, hint, self.action.returns, body, layout or Layout())

    def docstring(self, rng: random.Random) -> str:
        return f"{capital(self.imperative(rng))}."

    def meaning(self) -> Meaning:
        test, expected = self.selection.test, self.action.expected
        cases = tuple((sample,) for sample in self.selection.kind.samples())
        return Meaning(*self.pair, lambda xs: expected(xs, test), cases)


def actions_for(kind: ObjectKind) -> list[Action]:
    return [action for action in ALL_ACTIONS if kind.noun.kind in action.kinds.split()]


def draw_job(rng: random.Random) -> Job:
    """Any action on any object, records a little rarer than their number of fields would make them."""
    kinds = object_kinds()
    kind = rng.choice(kinds)
    if kind.field and rng.random() < 0.35:
        kind = rng.choice(kinds)
    return Job(rng.choice(actions_for(kind)), kind.draw(rng))
