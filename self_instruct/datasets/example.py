"""The common schema of all formats: an instruction with input and output, or a conversation, and its source."""

from dataclasses import dataclass, field
from typing import Any

from self_instruct.records import Record

Turn = dict[str, Any]
"""A message: `role` (system, user, assistant, tool ...), `content`, the fields that turns.py describes, and any others of the
format.
"""

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
TOOLS, IMAGES, REJECTED, LABEL = "tools", "images", "rejected", "label"
"""Names in `Example.fields` that have a meaning for all formats: the tools that an assistant may call, references to the images
of a conversation, the worse answer (a text, or a list of turns), and whether the answer is good.
"""
REJECTED_FROM = "rejected_from"
"""Name of the field with the number of turns before the worse answer; without it, that answer follows the last question."""
OPTIONAL = ("system", "messages")
"""Columns that a file has only if a row needs them. Then all rows have them: loaders infer columns from the first rows."""


@dataclass(slots=True)
class Example:
    """The content of a row of any format.

    `messages` is empty unless the format has conversations; it then holds all turns but the system prompt, and instruction
    and output are the first user turn and the first answer. A missing output is empty. `fields` holds all other fields
    unchanged. `path` and `row` (from 0) locate the row in its source.
    """

    instruction: str
    input: str = ""
    output: str = ""
    system: str = ""
    messages: tuple[Turn, ...] = ()
    id: str = ""
    category: str = ""
    source: str = ""
    license: str = ""
    path: str = ""
    row: int = 0
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """The instruction and the input as one text."""
        return Record("", self.instruction, self.input, "").task

    @property
    def turns(self) -> list[Turn]:
        """The conversation without the system prompt; a single exchange gives two turns."""
        if self.messages:
            return list(self.messages)
        answer = [{"role": ASSISTANT, "content": self.output}] if self.output else []
        asked = [{"role": USER, "content": self.prompt}] if self.prompt else []
        return asked + answer

    @property
    def tools(self) -> Any:
        """The tools that the assistant may call, as in the row: a list or a JSON text, or None."""
        return self.fields.get(TOOLS) or None

    @property
    def images(self) -> list[Any]:
        """References to images that are not in the turns."""
        found = self.fields.get(IMAGES)
        return found if isinstance(found, list) else []

    @property
    def rejected(self) -> list[Turn]:
        """The turns of the worse answer; empty if there is none."""
        found = self.fields.get(REJECTED)
        if isinstance(found, str) and found:
            return [{"role": ASSISTANT, "content": found}]
        whole = isinstance(found, list) and all(
            isinstance(turn, dict) and {"role", "content"} <= {*turn} for turn in found
        )
        return found if isinstance(found, list) and whole else []

    @property
    def label(self) -> bool | None:
        """Whether the answer is good; None if the row does not say. A bad answer is in `rejected`, and the output is empty."""
        found = self.fields.get(LABEL)
        return found if isinstance(found, bool) else None

    @property
    def asked(self) -> list[Turn]:
        """The turns before the last answer, which begins after the last question unless `REJECTED_FROM` says where."""
        turns, begin = self.turns, self.fields.get(REJECTED_FROM)
        if not isinstance(begin, int) or not 0 < begin <= len(turns):
            begin = max((at for at, turn in enumerate(turns, start=1) if turn["role"] != ASSISTANT and (
                turn["role"] != TOOL)), default=0)  # fmt: skip
        return turns[:begin]

    @property
    def answer(self) -> list[Turn]:
        """The turns after `asked`."""
        return self.turns[len(self.asked) :]

    @property
    def is_single_turn(self) -> bool:
        """Whether instruction, input and output contain the whole example."""
        return not self.messages or [turn["role"] for turn in self.messages] in (
            [USER, ASSISTANT],
            [USER],
            [ASSISTANT],
        )

    @property
    def columns(self) -> set[str]:
        """The optional columns that the example needs."""
        return {name for name in OPTIONAL if getattr(self, name)}


def of_turns(turns: list[Turn], **more: Any) -> Example:
    """Return the example of a conversation, whose first turn may be the system prompt. Other fields of that turn are kept as
    `fields["system"]`.
    """
    system, rest = more.pop("system", ""), turns
    if not system and turns and turns[0]["role"] == SYSTEM:
        system, rest = turns[0]["content"], turns[1:]
        said = {key: value for key, value in turns[0].items() if key not in ("role", "content")}
        if said:
            more["fields"] = {**more.get("fields", {}), SYSTEM: said}
    first = next((at for at, turn in enumerate(rest) if turn["role"] == USER), None)
    asked = rest[first]["content"] if first is not None else ""
    answers = (turn["content"] for turn in rest[first or 0 :] if turn["role"] == ASSISTANT)
    return Example(asked, "", next(answers, ""), system=system, messages=tuple(rest), **more)
