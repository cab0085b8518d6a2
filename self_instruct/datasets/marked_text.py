"""Read texts in which markers of a chat template separate the turns: ChatML, Llama, Gemma, Zephyr, DeepSeek, Cohere, Harmony,
Guanaco, Alpaca, Anthropic's "Human:", Baize, OIG and Glaive. The template of Vicuna is read by template.py.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from self_instruct.datasets import template
from self_instruct.datasets.example import ASSISTANT, SYSTEM, TOOL, USER, Example, Turn, of_turns
from self_instruct.datasets.fields import about_of, text_of
from self_instruct.user_files import LineError

_INPUT, _REASONING = "input", "reasoning"
_WORDS = {
    **dict.fromkeys(("system", "<<sys>>", "developer"), SYSTEM),
    **dict.fromkeys(("user", "human", "prompter", "[inst]", "instruction"), USER),
    **dict.fromkeys(("assistant", "model", "ai", "bot", "gpt", "chatbot", "[/inst]", "response"), ASSISTANT),
    **{f"assistant<|channel|>{name}": ASSISTANT for name in ("final", "commentary")},
    "assistant<|channel|>analysis": _REASONING,
    **dict.fromkeys(("tool", "function response", "ipython", "observation", "function"), TOOL),
    "input": _INPUT,
}
_PREAMBLES = re.compile(
    r"Below is an instruction that describes a task(?:, paired with an input that provides further context)?\. "
    r"Write a response that appropriately completes the request\.|"
    r"The (?:following is a )?conversation between human and AI assistant\."
)
"""Openings that a template puts before every conversation; they are not system prompts."""


@dataclass(frozen=True)
class Dialect:
    """A template: its name, a pattern for the marker before a turn, whose group names the speaker, and one for a turn's end."""

    name: str
    marker: re.Pattern[str]
    end: str = r"<\|endoftext\|>|</s>"
    roles: Mapping[str, str] = field(default_factory=lambda: _WORDS)


_NAMED = r"system|user|assistant|tool|function|ipython|model|human|bot|prompter|observation"
_HARMONY = r"system|developer|user|assistant(?:<\|channel\|>(?:analysis|commentary|final))?"
_DIALECTS = (
    Dialect("ChatML", re.compile(rf"<\|im_start\|>({_NAMED})\b[^\S\n]*\n?"), r"<\|im_end\|>|<\|endoftext\|>"),
    Dialect("Llama 3", re.compile(rf"<\|start_header_id\|>({_NAMED})<\|end_header_id\|>\s*"),
            r"<\|eot_id\|>|<\|eom_id\|>|<\|end_of_text\|>|<\|begin_of_text\|>"),
    Dialect("Gemma", re.compile(rf"<start_of_turn>({_NAMED})\b[^\S\n]*\n?"), r"<end_of_turn>|<eos>|<bos>"),
    Dialect("Zephyr", re.compile(rf"<\|({_NAMED})\|>[^\S\n]*\n?"), r"</s>|<\|end\|>|<\|endoftext\|>|<s>"),
    Dialect("DeepSeek", re.compile(r"<｜(User|Assistant)｜>"), r"<｜(?:begin|end)▁of▁sentence｜>"),
    Dialect("Cohere", re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(SYSTEM|USER|CHATBOT)_TOKEN\|>"),
            r"<\|END_OF_TURN_TOKEN\|>|<(?:BOS|EOS)_TOKEN>"),
    Dialect("Harmony", re.compile(rf"<\|start\|>({_HARMONY})<\|message\|>"), r"<\|(?:end|return)\|>"),
    Dialect("Llama 2", re.compile(r"(\[INST\]|\[/INST\])"), r"</?s>"),
    Dialect("Baize", re.compile(r"\[\|(Human|AI)\|\]")),
    Dialect("Guanaco", re.compile(r"(?:\A|\n|(?<=\S))\s{0,4}### ?(Human|User|Assistant|System):")),
    Dialect("Alpaca", re.compile(r"(?:\A|\n)### ?(Instruction|Input|Response|System):?[^\S\n]*(?=\n|\Z|\S)")),
    Dialect("Human and Assistant", re.compile(r"(?:\A|\n)\s{0,4}(Human|User|Assistant|AI|Bot):(?=\s|\Z)")),
    Dialect("OIG", re.compile(r"(?:\A|\n)\s{0,4}<(human|bot)>: ?")),
    Dialect("Glaive", re.compile(r"(?:\A|\n)\s{0,4}(USER|ASSISTANT|FUNCTION RESPONSE|SYSTEM):")),
)  # fmt: skip
KEYS = ("text", "chat", "conversation", "conversations", "dialog", "dialogue", "prompt", "input", "sample", "content")
"""Names of fields whose text may hold turns."""
_STRONG = frozenset(dialect.name for dialect in _DIALECTS[:11])
_MARKER = re.compile(
    r"\s*(<\|(?!endoftext)[\w ]{2,40}\|>|<｜[^｜<>]{2,40}｜>|<(?:start_of_turn|bos|BOS_TOKEN|human)>|\[INST\])"
)
_BLANK = re.compile(r"\s*(?:<s>|<\|begin_of_text\|>|<bos>|\[gMASK\]|<sop>)?\s*")
_END = re.compile(rf"(?:{'|'.join(dict.fromkeys(dialect.end for dialect in _DIALECTS))})\Z")
_CALL = "<functioncall>"


def dialect_of(text: Any) -> Dialect | None:
    """Return the template of a text, or None. The text must have a question and an answer by the template's markers, and must
    begin with one of them unless the markers are unmistakable.
    """
    if not isinstance(text, str):
        return None
    for dialect in _DIALECTS:
        roles, begin = set[str](), None
        for found in dialect.marker.finditer(text):
            begin = found.start() if begin is None else begin
            roles.add(dialect.roles[found[1].lower()])
            if {USER, ASSISTANT} <= roles and (dialect.name in _STRONG or _BLANK.fullmatch(text[:begin])):
                return dialect
    return None


def parsed(text: str) -> tuple[str, list[Turn]] | None:
    """Return the system prompt and the turns of a text; None if it is in no known template, or has no turns."""
    dialect = dialect_of(text)
    if dialect is None:
        return None
    begin, *pieces = dialect.marker.split(text)
    end = re.compile(dialect.end)
    said = [(dialect.roles[word.lower()], end.sub("", content).strip())
            for word, content in zip(pieces[::2], pieces[1::2], strict=True)]  # fmt: skip
    stated, turns = _joined(said)
    system = f"{_PREAMBLES.sub('', end.sub('', begin), count=1).strip()}\n{stated}".strip()
    if dialect.name == "Harmony" and any("<|message|>" in turn["content"] for turn in turns):
        return None  # calls of tools
    if (
        dialect.name == "Llama 2"
        and turns
        and (found := re.match(r"<<SYS>>(.*?)<</SYS>>", turns[0]["content"], re.DOTALL))
    ):
        system, turns[0]["content"] = found[1].strip(), turns[0]["content"][found.end() :].strip()
    if turns and not turns[-1]["content"]:
        turns.pop()  # only the marker of the next turn
    return (system, [_with_call(turn) for turn in turns]) if turns else None


def _joined(said: list[tuple[str, str]]) -> tuple[str, list[Turn]]:
    """Return the system prompt and the turns from pieces of (role, text). An input joins its question, a thought its answer."""
    system, thought, turns = "", "", list[Turn]()
    for role, text in said:
        if role == _REASONING:
            thought = f"{thought}\n{text}".strip()
        elif role == _INPUT:
            if text and turns:
                turns[-1]["content"] += f"\n{text}"
        elif role == SYSTEM and not turns:
            system = f"{system}\n{text}".strip()
        else:
            turns.append({"role": role, "content": text})
            if role == ASSISTANT and thought:
                turns[-1]["reasoning_content"], thought = thought, ""
    return system, turns


def open_turns(prompt: str) -> tuple[str, list[Turn]] | None:
    """Return the system prompt and the turns of a prompt in a known template that waits for an answer; else None."""
    found = parsed(prompt)
    return found if found is not None and found[1][-1]["role"] in (USER, TOOL) else None


def without_end(answer: str) -> str:
    """Return an answer without white space around it, and without a template's marker for the end of a turn."""
    return _END.sub("", answer.strip()).rstrip()


def _with_call(turn: Turn) -> Turn:
    """Return a turn of Glaive with its function call as `tool_calls`; other turns unchanged."""
    before, marker, after = turn["content"].partition(_CALL)
    text, end = after.lstrip(), after.rfind("}") + 1
    if turn["role"] != ASSISTANT or not marker or not text.startswith("{") or not end:
        return turn
    text = text[: end - len(after)] if end < len(after) else text
    inner = text[:-1].rstrip()  # without the last brace
    if inner.endswith("}'") and (at := inner.find("'{")) >= 0:  # the arguments are JSON in single quotes
        text = f"{inner[:at]}{json.dumps(inner[at + 1 : -1])}}}"
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return turn
    rest = (before + after[end:]).strip()
    return {"role": ASSISTANT, "content": rest, "tool_calls": [{"type": "function", "function": call}]}


def marked_name(row: dict[str, Any]) -> str | None:
    """Return the name of a field whose text has turns in a template; None without one, or if another field has the answer."""
    if any(row.get(name) for name in ("output", "response", "completion", "chosen", "answer")):
        return None
    return next((name for name in KEYS if dialect_of(row.get(name)) is not None), None)


def marked(row: dict[str, Any], place: str) -> Example:
    """Read a row with a text in a chat template."""
    name = marked_name(row) or "text"
    found = parsed(text_of(row, name, place, required=True))
    if found is None:
        raise LineError("ambiguous_turns", place, f'the text in "{name}" cannot be split into turns')
    system, turns = found
    beside = text_of(row, SYSTEM, place)
    stated = re.sub(r"\A\s*SYSTEM:\s*", "", beside).strip()
    about = about_of(row, name, *([SYSTEM] if not system or not stated else []))
    system = system or stated
    plain = all({*turn} == {"role", "content"} for turn in turns)
    if plain and [turn["role"] for turn in turns] in ([USER, ASSISTANT], [USER]):
        return Example(turns[0]["content"], "", turns[1]["content"] if len(turns) > 1 else "", system, **about)
    return of_turns(turns, system=system, **about)


def is_vicuna(text: Any) -> bool:
    """Return whether a value is text in Vicuna's template."""
    return isinstance(text, str) and template.holds_turns(text)


def templated(row: dict[str, Any], place: str) -> Example:
    """Read text in Vicuna's template, or plain text."""
    text = text_of(row, "text", place, required=True)
    about = about_of(row, "text")
    if not template.holds_turns(text):
        if found := _MARKER.match(text):
            raise LineError(
                "ambiguous_turns", place, f'the text begins with "{found[1]}", but it cannot be split into turns'
            )
        return Example("", "", text, **about)
    parsed = template.parse(text)
    if parsed is None:
        raise LineError(
            "ambiguous_turns", place, '"USER:" and "ASSISTANT:" do not alternate in the text, so it cannot be split'
        )
    system, turns = parsed
    if len(turns) > 2:
        return of_turns(turns, system=system, **about)
    return Example(turns[0]["content"], "", turns[1]["content"] if len(turns) > 1 else "", system, **about)
