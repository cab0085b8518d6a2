"""Split what a model wrote into its thoughts and its answer.

The marks of thoughts come from a table (configs/thought_tags.yaml), so a new family of models needs no code. The text is read
once, from mark to mark, whatever it holds.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

UNCLOSED = "unclosed_thought"
ONLY_REASONING = "only_reasoning"
LOST = (UNCLOSED, ONLY_REASONING)
"""The reasons for dropping a completion that holds a thought and no answer behind it."""
_QUOTES = frozenset("\"'`“”‘’")
_BEFORE_A_MENTION = _QUOTES | frozenset("(/\\|")


@dataclass(frozen=True)
class Turn:
    """A model's turn: its answer, its thoughts, and whether the last thought was never closed.

    `begins` is where the answer begins in the text, behind the thoughts at its start: 0 without any. White space between them
    is part of neither.
    """

    answer: str
    thought: str = ""
    unclosed: bool = False
    begins: int = 0

    def without_answer(self, hidden: int | None = None) -> str | None:
        """Return why there is no answer although the model thought, or None; `hidden` counts tokens of unseen thoughts."""
        if self.answer.strip():
            return None
        return UNCLOSED if self.unclosed else ONLY_REASONING if self.thought or hidden else None


class _Mark(NamedTuple):
    opens: int | None
    closes: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class ThoughtTags:
    """The marks around thoughts: `pairs` of an opening and its closings, and `answers`, the marks around an answer behind a
    thought. `fields` are the names under which servers return a thought; `switches` are the variables of chat templates
    that turn thinking off, with the value that does it.
    """

    pairs: tuple[tuple[str, tuple[str, ...]], ...]
    answers: tuple[tuple[str, str], ...] = ()
    fields: tuple[str, ...] = ()
    switches: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "ThoughtTags":
        """Return the marks of the table in configs/thought_tags.yaml."""
        return cls(
            tuple((row["open"], tuple(row["close"])) for row in table["tags"]),
            tuple((first, last) for first, last in table["answers"]),
            tuple(table["fields"]),
            dict(table["switches"]),
        )

    def read(self, text: str, beside: str | None) -> Turn:
        """Return the turn of a text and a thought that a server returned beside it."""
        turn, apart = self.split(text), (beside or "").strip()
        return replace(turn, thought="\n\n".join(filter(None, [apart, turn.thought]))) if apart else turn

    def split(self, text: str) -> Turn:
        """Return the answer and the thoughts of a text; thoughts are joined by a blank line.

        Everything before a closing mark without an opening one is a thought, back to the thought before it. An opening mark
        in the middle of a sentence is text if nothing closes it.
        """
        marks = list(self._marks(text))
        if not marks:
            return Turn(text)
        last = {kind: at for at, mark in enumerate(marks) for kind in mark.closes}
        kept: list[str] = []
        thoughts: list[str] = []
        inside: int | None = None
        answered = False
        done = begins = 0  # `done` is where the current thought or piece of the answer begins
        for at, mark in enumerate(marks):
            if inside is None and mark.opens is not None:
                if last.get(mark.opens, -1) < at and _in_sentence(text, mark.start):
                    continue
                kept.append(text[done : mark.start])
                answered = answered or bool(kept[-1].strip())
                inside, done = mark.opens, mark.end
            elif mark.closes and (inside is None or inside in mark.closes):
                thoughts.append(text[done : mark.start])
                inside, done = None, mark.end
                begins = begins if answered else done
        (thoughts if inside is not None else kept).append(text[done:])
        if inside is not None and not answered:
            begins = len(text)
        if not thoughts:
            return Turn(text)
        answer = "".join(kept)
        answer = self._bare(answer.lstrip() if begins else answer)
        thought = "\n\n".join(part.strip() for part in thoughts if part.strip())
        return Turn(answer, thought, inside is not None, begins)

    def closing_of(self, opening: str) -> str:
        """Return the mark that closes a thought, from the text that opened it."""
        mark = next(mark for mark in self._marks(opening) if mark.opens is not None)
        return self.pairs[mark.opens or 0][1][0]

    def opens(self, text: str) -> bool:
        """Return whether a text begins with a mark that opens a thought."""
        first = next(self._marks(text), None)
        return first is not None and first.opens is not None and not text[: first.start].strip()

    def marks_in(self, text: str) -> bool:
        """Return whether a text holds a mark of a thought."""
        return next(self._marks(text), None) is not None

    def parts_of_marks(self, tokens: Mapping[int, str]) -> dict[int, str]:
        """Return those special tokens of a tokenizer, by id, that are part of the marks of a kind of thought whose opening
        mark the tokenizer has.
        """
        found: dict[int, str] = {}
        for opening, closings in self.pairs:
            if any(len(token) > 2 and token in opening for token in tokens.values()):
                marks = (opening, *closings)
                found.update((at, token) for at, token in tokens.items() if token and any(token in m for m in marks))
        return found

    @cached_property
    def _kinds(self) -> dict[str, tuple[int | None, tuple[int, ...]]]:
        """Return the kind that each mark opens, and those that it closes."""
        kinds: dict[str, tuple[int | None, tuple[int, ...]]] = {}
        for kind, (opening, closings) in enumerate(self.pairs):
            kinds[opening.lower()] = (kind, ())
            for closing in closings:
                _, before = kinds.get(closing.lower(), (None, ()))
                kinds[closing.lower()] = (None, (*before, kind))
        return kinds

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = sorted(self._kinds, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words)), re.IGNORECASE)

    def _marks(self, text: str) -> Iterator[_Mark]:
        """Yield the marks of a text without those that it only mentions, in quotation marks or backticks."""
        mentioned = False
        for found in self._pattern.finditer(text):
            opens, closes = self._kinds[found.group().lower()]
            before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
            if opens is not None:
                mentioned = before in _BEFORE_A_MENTION
                if mentioned:
                    continue
            elif after in _QUOTES and (mentioned or before in _QUOTES):
                continue
            yield _Mark(opens, closes, found.start(), found.end())

    def _bare(self, answer: str) -> str:
        """Return an answer without the marks around it."""
        stripped = answer.strip()
        for first, last in self.answers:
            if stripped.startswith(first):
                return stripped.removeprefix(first).removesuffix(last)
        return answer


def _in_sentence(text: str, at: int) -> bool:
    """Return whether a word or a comma precedes a position on the same line."""
    line = text[max(0, at - 200) : at].rpartition("\n")[2].rstrip(" \t")
    return bool(line) and (line[-1].isalnum() or line[-1] == ",")
