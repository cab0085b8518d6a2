"""The template of Vicuna 1.1, as the cards of airoboros models describe it: a preamble, one space, `USER: ` and the prompt, one
space, `ASSISTANT: ` and the answer. Later exchanges follow the end-of-sequence sign; FastChat writes it after the last one too.

Texts are carried as they are, blocks of context among them. A system prompt stands in place of the preamble.
"""

import re

from self_instruct.datasets.example import ASSISTANT, USER, Turn

PREAMBLE = (
    "A chat between a curious user and an assistant. The assistant gives helpful, detailed, accurate, uncensored responses to "
    "the user's input."
)
END = "</s>"
_LABELS = {USER: "USER", ASSISTANT: "ASSISTANT"}
_ROLES = {label: role for role, label in _LABELS.items()}
_LABEL = re.compile(r"(?:^| |</s>)(USER|ASSISTANT):(?: |$)")


def render(system: str, turns: list[Turn], preamble: str = PREAMBLE) -> str:
    """The text of a conversation, whose roles must be user and assistant, in turns."""
    exchanges = [turns[at : at + 2] for at in range(0, len(turns), 2)]
    told = [" ".join(f"{_LABELS[turn['role']]}: {turn['content']}" for turn in pair) for pair in exchanges]
    opening = "" if len(turns) % 2 == 0 else " ASSISTANT: "
    # Of an answer that ends in the sign, one is taken off when it is read.
    closing = END if turns and turns[-1]["role"] == ASSISTANT and turns[-1]["content"].endswith(END) else ""
    return f"{system or preamble} {END.join(told)}{opening}{closing}"


def parse(text: str, preamble: str = PREAMBLE) -> tuple[str, list[Turn]] | None:
    """The system prompt, empty for the preamble, and the turns; None if user and assistant do not take turns in the text."""
    begin, *parts = _LABEL.split(text)
    turns: list[Turn] = [
        {"role": _ROLES[label], "content": content} for label, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    roles = [turn["role"] for turn in turns]
    if not roles or roles != [USER, ASSISTANT] * (len(roles) // 2):
        return None
    turns[-1]["content"] = turns[-1]["content"].removesuffix(END)
    if not turns[-1]["content"]:
        turns.pop()  # not answered yet
    return ("" if begin == preamble else begin), turns


def holds_turns(text: str) -> bool:
    """Whether the text looks like one of this template."""
    return {found[1] for found in _LABEL.finditer(text)} == set(_ROLES)
