"""Objects of tasks: a noun narrowed by a predicate ("even prices", "orders whose total is above 50").

An object has a wording, a condition and sample values; actions on it are in `actions.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from demo_model.training.corpus import nouns as vocabulary
from demo_model.training.corpus import predicates as conditions
from demo_model.training.corpus.nouns import Noun
from demo_model.training.corpus.predicates import PARAMETER_VALUES, Predicate


@dataclass(frozen=True)
class ObjectKind:
    """A noun with a predicate, parameters still open; `field` is the record's field that the predicate looks at."""

    noun: Noun
    predicate: Predicate
    field: str = ""

    @cached_property
    def key(self) -> str:
        """The name of the object in a (verb, object) pair."""
        if self.field:
            return f"{self.noun.many} by {self.field} {self.predicate.key}"
        return f"{self.predicate.key} {self.noun.many}"

    def wordings(self, many: bool) -> list[str]:
        """Every way to name the object, with {0} and {1} for parameters."""
        noun = self.noun.many if many else self.noun.one
        if self.field:
            after = self.predicate.after.split("|")
            plural = self.field.endswith("s") and self.field != "bonus"
            article = "" if plural else "an " if self.field[0] in "aeiou" else "a "
            verb = "are" if plural else "is"
            whose = [f"{noun} whose {self.field} {verb} {text.removeprefix('of ')}" for text in after]
            return whose + [f"{noun} with {article}{self.field} {text}" for text in after]
        before, after = self.predicate.before.split("|"), self.predicate.after.split("|")
        return [f"{b} {noun} {a}".strip() for b in before for a in after]

    def samples(self) -> Sequence[list[object]]:
        """Lists to try an implementation on; the first is empty."""
        if self.noun.kind == "number":
            return vocabulary.NUMBER_SAMPLES  # type: ignore[return-value]
        if self.noun.kind == "word":
            return vocabulary.WORD_SAMPLES  # type: ignore[return-value]
        return vocabulary.record_samples(self.noun.fields)  # type: ignore[return-value]

    def draw(self, rng: random.Random) -> Selection:
        """The object with parameters filled in."""
        return Selection(self, tuple(rng.choice(PARAMETER_VALUES[name]) for name in self.predicate.params))


@dataclass(frozen=True)
class Selection:
    """An object with its parameters, ready to be worded, coded and tested."""

    kind: ObjectKind
    params: tuple[str, ...]

    @property
    def noun(self) -> Noun:
        return self.kind.noun

    def phrase(self, rng: random.Random, many: bool = True) -> str:
        return rng.choice(self.kind.wordings(many)).format(*self.params)

    def _subject(self, variable: str) -> str:
        return f'{variable}["{self.kind.field}"]' if self.kind.field else variable

    def condition(self, variable: str, inverse: bool = False) -> str:
        code = self.kind.predicate.inverse if inverse else self.kind.predicate.code
        return code.format(*self.params, x=self._subject(variable))

    def slug(self, many: bool = True) -> str:
        """The object as a part of a function's name."""
        noun = self.noun.argument if many else self.noun.variable
        slug = self.kind.predicate.slug.format(*self.params)
        if self.kind.field:
            return f"{noun}_{self.kind.field}_{slug}"
        return f"{slug}_{noun}" if self.kind.predicate.before else f"{noun}_{slug}"

    @property
    def test(self) -> Callable[[object], bool]:
        """The reference test of one item."""
        values = [int(value) if value.isdigit() else value for value in self.params]
        field = self.kind.field
        return lambda item: self.kind.predicate.test(item[field] if field else item, *values)  # type: ignore[index]


@lru_cache(maxsize=1)
def object_kinds() -> tuple[ObjectKind, ...]:
    """Every noun with every predicate that fits it."""
    kinds = [ObjectKind(n, p) for n in vocabulary.NUMBER_NOUNS for p in conditions.NUMBER_PREDICATES]
    kinds += [ObjectKind(n, p) for n in vocabulary.WORD_NOUNS for p in conditions.WORD_PREDICATES]
    kinds += [
        ObjectKind(n, p, field)
        for n in vocabulary.RECORD_NOUNS
        for field in n.fields
        for p in conditions.FIELD_PREDICATES
    ]
    return tuple(kinds)
