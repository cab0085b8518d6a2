"""Split a completion into blocks.

A block ends at a separator line, unless a further label of the block follows; at the next first label; or at the end. What is
between a separator and the next block is a block too, although no label announces it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from self_instruct.formats.edges import FENCE, RULE, SEPARATOR, has_open_fence
from self_instruct.formats.labels import NUMBERED, UNUSUAL, Label, Labels

Span = tuple[int, int, bool]
"""Start and end of a block, and whether it is closed."""

_BLANK_LINE = re.compile(rf"[ \t\r]*(?:(?:{SEPARATOR}|{RULE}|{FENCE})[ \t\r]*)?(?:\n|\Z)")
_FENCE_OR_SEPARATOR = re.compile(rf"^[ \t]*(?:{FENCE}|(?P<separator>{SEPARATOR}))[ \t\r]*$", re.MULTILINE)
_REMARK = re.compile(r"^(?:---|\*\*\*)[ \t\r]*\n\s*+(?=[A-Z])", re.MULTILINE)
_UNSEEN = UNUSUAL + 1


def split(body: str, labels: Labels) -> Iterator[Span]:
    """Yield the blocks of a completion in order. The beginning of a label at the end is not one."""
    found = {label.start: label for label in labels.find(body)}
    separators = _separators(body, found)
    splitter = _Splitter(body, labels.first, labels.last)
    for place in sorted({*found, *separators}):
        if place in found:
            yield from splitter.label(found[place])
        else:
            after, rest = separators[place]
            yield from splitter.separator(place, after, rest, found.get(rest))
    yield from splitter.rest(labels.begun)


@dataclass
class _Splitter:
    """The block that is read: where it starts, and how surely its last field was announced and where that begins.

    Without an open block, `start` is behind a separator, and `following` is where the next line that is not blank begins.
    """

    body: str
    first: str
    last: str
    start: int = 0
    open: bool = True
    rank: int = _UNSEEN
    last_field: int = field(default=0)
    following: int = -1

    def label(self, label: Label) -> Iterator[Span]:
        if label.field == self.first:
            if not self.open or label.start == self.start or self._ends_block(label):
                yield from self._begin(label)
        elif label.field == self.last and self.open:
            self.last_field, self.rank = label.end, min(self.rank, label.rank)

    def separator(self, place: int, after: int, rest: int, following: Label | None) -> Iterator[Span]:
        goes_on = following is not None and following.field != self.first and following.rank < self.rank
        if self.open and not goes_on:
            yield self.start, place, True
            self.start, self.open = after, False
        self.following = rest

    def rest(self, begun: re.Pattern[str]) -> Iterator[Span]:
        at = self.start if self.open else _skip_blank(self.body, self.start)
        if at > 0 and begun.fullmatch(self.body, at, max(at, len(self.body.rstrip()))):
            return
        if self.open:
            yield from self._without_remark(len(self.body), False)
        else:
            yield self.start, len(self.body), False

    def _ends_block(self, label: Label) -> bool:
        """Return whether a first label begins another block; without a number inside an unfinished block, it is text, as in
        "Instruction: add R1".
        """
        return label.rank == NUMBERED or (label.rank < UNUSUAL and self.rank < _UNSEEN)

    def _begin(self, label: Label) -> Iterator[Span]:
        if self.open and label.start > self.start:
            yield from self._without_remark(label.start, True)
        elif not self.open:
            if label.rank == UNUSUAL and label.start != self.following:
                return
            if _skip_blank(self.body, self.start) < label.start:
                yield self.start, label.start, True
        self.start, self.open, self.rank, self.last_field = label.start, True, _UNSEEN, label.end

    def _without_remark(self, end: int, closed: bool) -> Iterator[Span]:
        """Yield a block that no separator line closes, and the paragraphs below a rule after its last field by themselves."""
        remark = _REMARK.search(self.body, self.last_field, end) if self.rank < _UNSEEN else None
        before = self.body[self.last_field : remark.start()] if remark else ""
        if remark and before.strip() and not before.lstrip().startswith(("---", "***")) and not has_open_fence(before):
            yield self.start, remark.start(), True
            yield remark.end(), end, closed
        else:
            yield self.start, end, closed


def _separators(body: str, labels: Mapping[int, Label]) -> dict[int, tuple[int, int]]:
    """Return the separators by their start: the end, and the start of the next line that is not blank.

    A separator between two code fences without a label between them is code.
    """
    marks: dict[int, re.Match[str] | None] = {at: None for at, label in labels.items() if label.rank < UNUSUAL}
    marks |= {mark.start(): mark for mark in _FENCE_OR_SEPARATOR.finditer(body)}
    found: list[re.Match[str]] = []
    fence: re.Match[str] | None = None
    outside = 0
    for _, mark in sorted(marks.items()):
        if mark is None:
            fence = None
        elif mark["separator"]:
            found.append(mark)
        elif fence is None:
            fence, outside = mark, len(found)
        else:
            if len(found) > outside and body[fence.end() : mark.start()].strip(f"{SEPARATOR} \t\r\n"):
                del found[outside:]
            fence = None
    ends, rest = {}, 0
    for mark in found:
        # Successive separators are followed by the same line: search for it once.
        if mark.end() > rest:
            rest = _skip_blank(body, mark.end())
        ends[mark.start()] = (mark.end(), rest)
    return ends


def _skip_blank(text: str, at: int) -> int:
    """Return the start of the next line that is neither blank nor a separator or code fence, or the end of the text."""
    while at < len(text) and (match := _BLANK_LINE.match(text, at)):
        at = match.end()
    return at
