"""The labels of fields: in the form shown to the model, and in the other forms that models write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from self_instruct.formats.edges import SEPARATOR

_HEADING = r"(?:#{1,6}[ \t]+)?\*{0,2}"
_MARK = r"(?:#{1,6}[ \t]+\*{0,2}|\*{2})"
_ONE_NUMBER = r"\d{1,6}[ \t]*[.)]\*{0,2}[ \t]*"
_NUMBER = rf"{_ONE_NUMBER}(?:{_ONE_NUMBER})?\*{{0,2}}"
_COLON = r"\*{0,2}[ \t]*:\*{0,2}"
_LINE_END = r"\*{0,2}[ \t\r]*$"
_ALIASES = ("Answer", "Response", "Solution")
_RANKS = {"numbered": 1, "named": 2, "first": 2}

NUMBERED, UNUSUAL = 1, 3


@dataclass(frozen=True)
class Label:
    """A label in a text.

    `rank` is 1 for a label as shown, with its number; 2 without a number; 3 in a form that is a label only where one
    is missing.
    """

    field: str
    numbers: tuple[str, ...]
    start: int
    end: int
    rank: int

    def shares_number(self, other: "Label") -> bool:
        """Return whether both labels have the same number; a label may have two."""
        return not set(self.numbers).isdisjoint(other.numbers)


@dataclass(frozen=True)
class Labels:
    """Finds the labels of some fields, given with their trigger words in order."""

    triggers: Sequence[tuple[str, str]]

    def find(self, text: str) -> list[Label]:
        """Return the labels of a text in order."""
        return [self._of(match) for match in self._pattern.finditer(text)]

    def match(self, text: str) -> Label | None:
        """Return the label that the text begins with."""
        found = self._pattern.match(text)
        return self._of(found) if found else None

    def _of(self, match: re.Match[str]) -> Label:
        kind = match.lastgroup or ""
        word, before = match.group(kind), match.string[match.start() : match.start(kind)]
        exact = (name for name, trigger in self.triggers if trigger == word)
        same = (name for name, trigger in self.triggers if trigger.lower() == word.lower())
        name = next(exact, None) or next(same, self.last)
        return Label(
            name, tuple(re.findall(r"\d{1,6}", before)), match.start(), match.end(), _RANKS.get(kind, UNUSUAL)
        )

    @property
    def first(self) -> str:
        """The field that begins a block."""
        return self.triggers[0][0]

    @property
    def last(self) -> str:
        """The field that ends a block."""
        return self.triggers[-1][0]

    @property
    def usual(self) -> list[str]:
        """The trigger words, and other words for the output if it is the last field."""
        return [*(word for _, word in self.triggers), *(_ALIASES if self.last == "output" else ())]

    @cached_property
    def _words(self) -> str:
        return "|".join(re.escape(word) for _, word in sorted(self.triggers, key=lambda item: -len(item[1])))

    @cached_property
    def _certain(self) -> str:
        """A pattern, without indentation, for a label at any position: a number and a trigger word in any case, possibly as
        a heading or in bold; the trigger word alone, spelled exactly; the first trigger word as a heading without a colon.
        """
        first = re.escape(self.triggers[0][1])
        return (
            rf"{_HEADING}{_NUMBER}(?P<numbered>(?i:{self._words})){_COLON}|{_HEADING}(?P<named>{self._words}){_COLON}"
            rf"|(?:{_HEADING}{_NUMBER}|{_MARK})(?P<first>{first}){_LINE_END}"
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        usual = "|".join([self._words, *self.usual[len(self.triggers) :]])
        return re.compile(
            rf"^[ \t]*(?:{self._certain}|(?:{_HEADING}{_NUMBER}|{_MARK})(?P<marked>(?i:{usual}))(?:{_COLON}|{_LINE_END})"
            rf"|(?P<alias>{usual}){_COLON}|(?<=\n\n)(?P<bare>{self._words})[ \t\r]*$)[ \t]*",
            re.MULTILINE,
        )

    @cached_property
    def begun(self) -> re.Pattern[str]:
        """A text that ends within a first label."""
        word = self.triggers[0][1]
        part = "|".join(re.escape(word[:length]) for length in range(len(word), 0, -1))
        return re.compile(
            rf"\s*{_HEADING}(?:\d{{1,6}}[ \t]*(?:[.)]\*{{0,2}}[ \t]*\*{{0,2}})?(?:{part})?|(?:{part})?)\*{{0,2}}"
        )

    @cached_property
    def _label_or_separator(self) -> str:
        groups = ("(?P<numbered>", "(?P<named>", "(?P<first>")
        certain = self._certain
        for group in groups:
            certain = certain.replace(group, "(?:", 1)
        return rf"(?:{certain}|{SEPARATOR}[ \t\r]*$)"

    @cached_property
    def escapable(self) -> re.Pattern[str]:
        """A line that would be read as a label or separator, escaped or not; groups: indentation, the rest."""
        return re.compile(rf"^([ \t]*)(\\*{self._label_or_separator})", re.MULTILINE)

    @cached_property
    def escaped(self) -> re.Pattern[str]:
        """A line with one escape too many; groups: indentation, the rest without it."""
        return re.compile(rf"^([ \t]*)\\(\\*{self._label_or_separator})", re.MULTILINE)
