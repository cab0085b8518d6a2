"""One schema for all formats: an instruction with input and output, or a whole conversation, and where it comes from.

Knows nothing of formats and files.
"""

from dataclasses import dataclass, field
from typing import Any

from self_instruct.records import Record

Turn = dict[str, Any]
"""A message: `role` (system, user, assistant, tool ...), `content`, and whatever else the format says of it."""

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
OPTIONAL = ("system", "messages")
"""Columns that a file of ours has if it needs them: in every row, since loaders take a file's columns from its first rows."""


@dataclass(frozen=True)
class Example:
    """What a row of any format says.

    `messages` is empty unless the format tells conversations; it is then the whole truth but for the system prompt, and
    instruction and output are the first user turn and the first answer. An absent output is empty. `fields` is what the
    schema has no place for, as it stood. `path` and `row` (from 0) say where the row stood in its source.
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
        """Instruction and input as one text."""
        return Record("", self.instruction, self.input, "").task

    @property
    def turns(self) -> list[Turn]:
        """The conversation without the system prompt, also of what was not one."""
        if self.messages:
            return list(self.messages)
        answer = [{"role": ASSISTANT, "content": self.output}] if self.output else []
        asked = [{"role": USER, "content": self.prompt}] if self.prompt else []
        return asked + answer

    @property
    def is_single_turn(self) -> bool:
        """Whether instruction, input and output say all of it."""
        return [turn["role"] for turn in self.turns] in ([USER, ASSISTANT], [USER], [ASSISTANT], [])

    @property
    def columns(self) -> set[str]:
        """The optional columns that it needs."""
        return {name for name in OPTIONAL if getattr(self, name)}


def of_turns(turns: list[Turn], **more: Any) -> Example:
    """The example of a conversation, whose first turn may be the system prompt; what else that turn says is kept among the
    fields, under its role.
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
