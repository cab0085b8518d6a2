"""The template of Vicuna 1.1, as the cards of airoboros models describe it: a preamble, one space, `USER: ` and the prompt, one
space, `ASSISTANT: ` and the answer. Later exchanges follow the end-of-sequence token; FastChat also writes it at the end.

Texts are kept unchanged, including blocks of context. A system prompt replaces the preamble.
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
    """Return the text of a conversation of alternating user and assistant turns."""
    exchanges = [turns[at : at + 2] for at in range(0, len(turns), 2)]
    texts = [" ".join(f"{_LABELS[turn['role']]}: {turn['content']}" for turn in pair) for pair in exchanges]
    opening = "" if len(turns) % 2 == 0 else " ASSISTANT: "
    # Reading removes one token from the end of an answer, so add one to an answer that ends in it.
    closing = END if turns and turns[-1]["role"] == ASSISTANT and turns[-1]["content"].endswith(END) else ""
    return f"{system or preamble} {END.join(texts)}{opening}{closing}"


def parse(text: str, preamble: str = PREAMBLE) -> tuple[str, list[Turn]] | None:
    """Return the system prompt (empty for the preamble) and the turns; None if user and assistant do not alternate."""
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
    """Return whether the text looks like this template."""
    return {found[1] for found in _LABEL.finditer(text)} == set(_ROLES)
