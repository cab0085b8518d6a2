"""Ask a chat model for a list of new tasks without answers, and read the list in any of the forms that models write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from self_instruct.formats import NO_INPUT
from self_instruct.formats.unlabelled import split_answer
from self_instruct.generation.categories.template import Template
from self_instruct.generation.patterns import task_list_pattern
from self_instruct.generation.prompts import PromptComposer
from self_instruct.records import Drop, Prompt, Record, record_id
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

TASKS = 5
EXAMPLES, COUNT = "examples", "count"
_REQUEST = (
    "{examples}\n\nWrite {count} new tasks of this kind as a numbered list. Write only the tasks, without answers."
)
_REQUEST_BELOW = "%s\n\n{examples}\n\n%s\nWrite only the tasks, as a numbered list, without answers."
_WITH_INPUT = '\nBelow each task, begin a line with "Input:" and write its input.'
_WORD = r"(?:new[ \t]+)?(?:task|instruction|question|problem|example)"
_NUMBER = re.compile(
    rf"^([ \t]{{0,8}})(?:#{{1,6}}[ \t]+)?(?:\*\*|__)?(?:"
    rf"(?:{_WORD}[ \t]*)?#?(\d{{1,4}})(?:[.):\]]|[ \t]+[-–—][ \t])(?:\*\*|__)?[ \t]*"
    rf"|{_WORD}[ \t]+#?(\d{{1,4}})(?:\*\*|__)?[ \t]*$)",
    re.IGNORECASE,
)
_SECOND_NUMBER = re.compile(r"\d{1,4}[.)](?:\s+|\Z)")
_ONLY_NUMBERS = re.compile(r"[\d\s.,:)\]-]*")
_BULLET = re.compile(r"^[-*•+][ \t]+")
_LABEL = re.compile(rf"^(?:\*\*|__)?{_WORD}(?:\*\*|__)?:(?:\*\*|__)?[ \t]*", re.I)
_ANSWER = re.compile(
    r"^[ \t]*(?:[-*•+][ \t]+)?(?:\*\*|__)?(?:(?:sample|expected|example)[ \t]+)?(?:answer|solution|response|output)"
    r"(?:\*\*|__)?[ \t]*:",
    re.IGNORECASE,
)
_INPUT = re.compile(r"^[ \t]*(?:[-*•+][ \t]+)?(?:\*\*|__)?input(?:\*\*|__)?[ \t]*:(?:\*\*|__)?[ \t]*", re.IGNORECASE)
_PREFACE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay)\b"
    rf"|here(?:'s| is| are)\b[^\n]{{0,40}}\b(?:{_WORD}|exercise|request)s?\b)[^\n]*:\s*\n",
    re.IGNORECASE,
)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,}|#{2,})[ \t]*$")
_NO_INPUT = re.compile(r"<?no ?input>?\.?|none\.?|n/a", re.IGNORECASE)
_WRAPPED = re.compile(r"(\*\*|__|\"|'|“|`)(.*?)(\*\*|__|\"|'|”|`)")


@dataclass(frozen=True)
class TaskListComposer(PromptComposer):
    """Composes prompts that show demonstrations without their outputs and ask for `number` new tasks.

    The header is a template; `{examples}` and `{count}` stand for the demonstrations and the number. With a `lead`, the header
    comes before the demonstrations and the lead after them.
    """

    number: int = TASKS

    @property
    def pattern(self) -> str:
        """The pattern of a whole reply, for --constrain."""
        return task_list_pattern(self.number, "input" in self.format.fields)

    def _prompt(self, request: int, demonstrations: Sequence[Record], record: Record | None = None) -> Prompt:
        shown = "\n".join(f"{at}. {self._task(item)}" for at, item in enumerate(demonstrations, start=1))
        template = Template(self.header)
        if self.lead:
            with_input = _WITH_INPUT if "input" in self.format.fields else ""
            template = Template(_REQUEST_BELOW % (self.header, self.lead) + with_input)
        elif EXAMPLES not in template.names:
            template = Template(f"{self.header}\n\n{_REQUEST}")
        text = template.fill(
            {**{name: f"{{{name}}}" for name in template.names}, EXAMPLES: shown, COUNT: str(self.number)}
        )
        return Prompt(request, text, "", len(demonstrations) + 1, tuple(demonstrations))

    def _task(self, record: Record) -> str:
        if "input" not in self.format.fields:
            return record.task
        return f"{record.instruction}\n   Input: {record.input or NO_INPUT}"

    def stop(self, prompt: Prompt | None = None) -> tuple[str, ...]:
        """Return the texts that end a reply: the number after its last task, counted from 1 and from the end of a `prompt`."""
        return tuple(f"\n{first + self.number}." for first in (1, *([prompt.number] if prompt else [])))


def listed_tasks(with_input: bool, entry: Entry, single: bool = False, without_code: bool = False) -> list[Verdict]:
    """Return the tasks of a reply; unreadable ones are dropped for `no_list`, `empty_block` or `cut_by_length`.

    If a reply was cut in an answer to its last task, or in a remark below it, the task itself is complete. With `single`, the
    reply is one task, including lists in it. With `without_code`, code below a task is removed as its answer, unless the task
    refers to the code.
    """
    items = _single_item(entry.answer) if single else _items(entry.answer)
    if not items:
        record = Record(record_id(entry.request, 1), "", "", "", entry.depth)
        return [
            Verdict(
                record, Drop("parse", "no_list" if entry.answer.strip() else "empty_block"), entry.answer, task=True
            )
        ]
    found = []
    for position, text in enumerate(items, start=1):
        parts = split_answer(text, code_only=True) if without_code else None
        instruction, given = _fields(parts[0] if parts else text, with_input)
        reason = None if instruction else "empty_block"
        if entry.cut and position == len(items) and parts is None and entry.answer.rstrip().endswith(_body(text)):
            reason, instruction, given = "cut_by_length", "", ""
        record = Record(record_id(entry.request, position), instruction, given, "", entry.depth)
        drop = Drop("parse", reason) if reason else None
        found.append(Verdict(record, drop, text if drop else "", task=True))
    return found


def _single_item(text: str) -> list[str]:
    """Return the whole text as one item, without a sentence that announces the task and without its number."""
    preface = _PREFACE.match(text)
    item = text[preface.end() if preface else 0 :].strip()
    number = _NUMBER.match(item.partition("\n")[0])
    item = item[number.end() if number else 0 :].strip()
    return [item] if item else []


def _items(text: str) -> list[str]:
    """Return the items of a list: numbered in order, else with bullets, else a single paragraph.

    A number that does not follow the one before, or is indented further than the first, belongs to an item's text.
    """
    lines = text.split("\n")
    starts: list[tuple[int, int]] = []
    last = indent = 0
    for at, line in enumerate(lines):
        match = _NUMBER.match(line)
        number = int(match.group(2) or match.group(3)) if match else None
        if match and (not starts or (number == last + 1 and len(match.group(1)) <= indent)):
            last, indent = number or 0, len(match.group(1)) if not starts else indent
            starts.append((at, match.end()))
    if not starts:
        starts = [(at, match.end()) for at, line in enumerate(lines) if (match := _BULLET.match(line))]
    if not starts:
        whole = text.strip()
        return [] if not whole or "\n\n" in whole or whole.endswith(":") else [whole]
    bounds = [*starts, (len(lines), 0)]
    items = [
        "\n".join([lines[at][begin:], *lines[at + 1 : end]]).strip() for (at, begin), (end, _) in pairwise(bounds)
    ]
    paragraphs = [item.split("\n\n") for item in items]
    remark = len(items) > 2 and all(len(parts) == 1 for parts in paragraphs[:-1])
    if remark and not paragraphs[-1][0].endswith(":"):
        items[-1] = paragraphs[-1][0]  # a paragraph after the list is a remark on it
    return items


def _without_second_number(item: str) -> str:
    """Return an item without the number that models repeat before its text, as in "2. 2. Sort."; a list stays as it is."""
    match = _SECOND_NUMBER.match(item)
    if match is None or any(_NUMBER.match(line) for line in item[match.end() :].split("\n")):
        return item
    return item[match.end() :]


def _body(item: str) -> str:
    """Return an item up to a horizontal rule or an answer."""
    lines = _without_second_number(item).split("\n")
    ends = (at for at, line in enumerate(lines) if _RULE.match(line) or (at and _ANSWER.match(line)))
    return "\n".join(lines[: next(ends, len(lines))])


def _fields(item: str, with_input: bool) -> tuple[str, str]:
    """Return the instruction and the input of an item, without labels, surrounding quotes or emphasis."""
    instruction: list[str] = []
    given: list[str] | None = None
    for line in _body(item).split("\n"):
        match = _INPUT.match(line) if with_input and given is None else None
        if match:
            given = [line[match.end() :]]
        else:
            (instruction if given is None else given).append(line.rstrip())
    task = _LABEL.sub("", "\n".join(instruction).strip(), count=1).strip()
    wrapped = _WRAPPED.fullmatch(task)
    if wrapped and wrapped.group(1) not in wrapped.group(2):
        task = wrapped.group(2).strip()
    task = "" if _ONLY_NUMBERS.fullmatch(task) else task
    value = "\n".join(given or []).strip()
    return task, "" if _NO_INPUT.fullmatch(value) else value
