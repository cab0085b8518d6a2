"""The formats that can be written: how an example becomes a row, when it cannot, and which fields are lost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from self_instruct.datasets import template, training
from self_instruct.datasets.example import ASSISTANT, IMAGES, LABEL, REJECTED, REJECTED_FROM, TOOLS, USER, Example
from self_instruct.datasets.fields import ABOUT
from self_instruct.datasets.naming import made_id
from self_instruct.datasets.ours import provenance_of, row_of
from self_instruct.datasets.training import Unfit, with_system
from self_instruct.datasets.turns import from_and_value

LMFLOW_TYPES = ("auto", "text2text", "conversation", "text_only")


@dataclass(frozen=True)
class Format:
    """A format: how the rows of an example are made (raises `Unfit`), and what it `holds`: `input`, `system`, `provenance`,
    `id`, `tools`, and `turns` for fields of turns other than role and content.

    An example is one row, or two where a format separates a better and a worse answer.
    """

    name: str
    what: str
    rows: Callable[[Example], list[dict[str, Any]]]
    holds: frozenset[str]

    def lost(self, example: Example) -> Iterator[str]:
        """Yield the names of the fields of an example that a row loses."""
        if example.input and not example.messages and "input" not in self.holds:
            yield "input (joined to the instruction)"
        if example.system and "system" not in self.holds:
            yield "system"
        answered = example.output or (example.rejected and "rejected" in self.holds)
        if not answered and example.is_single_turn:
            yield "output (there was none)"
        if self.name == "openai-batch" and len(example.turns) > len(example.asked):
            yield "output"
        if "turns" not in self.holds:
            keys = {key: None for turn in example.turns for key in turn if key not in ("role", "content")}
            yield from (f"turn: {key}" for key in keys)
        if "parts" in self.holds:
            yield from training.part_losses(example, "images" in self.holds)
        if "provenance" not in self.holds:
            yield from (name for name in ABOUT if getattr(example, name) and not (name == "id" and "id" in self.holds))
            yield from (f"fields: {name}" for name in example.fields if not self._holds_field(example, name))

    def _holds_field(self, example: Example, name: str) -> bool:
        """Return whether a row holds a field of `Example.fields`: a user's own field may have the name of one that it holds."""
        if name not in self.holds & {TOOLS, IMAGES, REJECTED, LABEL, REJECTED_FROM}:
            return False
        if name == REJECTED and self.name in _PAIRS_ONLY and not example.answer:
            return False
        usable = {IMAGES: bool(example.images), REJECTED: bool(example.rejected), LABEL: example.label is not None}
        return usable.get(name, True) or not example.fields[name]


def writable(name: str, columns: set[str], lmflow_type: str = "auto", preamble: str = template.PREAMBLE, *,
             with_provenance: bool = False) -> Format:  # fmt: skip
    """Return the format with this name, for a file whose examples need these optional columns."""
    if name == "lmflow":
        if lmflow_type == "auto":
            lmflow_type = "conversation" if columns else "text2text"
        return _LMFLOW[lmflow_type]
    if name == "vicuna":
        return Format(
            name, "text in the template of Vicuna 1.1", lambda one: [_vicuna(one, preamble)], frozenset(["system"])
        )
    if name in ("jsonl", "parquet"):
        return Format(name, "records of self-instruct", lambda one: [row_of(one, columns)], _EVERYTHING)
    if name in ("preference", "kto"):
        rows = training.preference if name == "preference" else training.kto
        what = "preferences, as in TRL" if name == "preference" else "answers with a label, as in KTO"
        return Format(name, what, lambda one: rows(one, messages=bool(columns)), _TRAINER)
    if name == "prompt-completion" and columns:
        return Format(name, "prompt and completion, as messages", _one(_prompt_of_messages), _CHAT)
    return _WITH_PROVENANCE if name == "messages" and with_provenance else _FORMATS[name]


def _alpaca(example: Example) -> dict[str, Any]:
    _need_single_turn(example)
    if example.messages and not example.instruction:
        raise Unfit("no_instruction", "has no question")
    return {"instruction": example.instruction, "input": example.input, "output": example.output}


def _messages(example: Example) -> dict[str, Any]:
    return {"messages": [*map(training.message, with_system(example))], **training.beside(example)}


def _messages_with_provenance(example: Example) -> dict[str, Any]:
    return {**_messages(example), "provenance": provenance_of(example)}


def _sharegpt(example: Example) -> dict[str, Any]:
    id = example.id or made_id(example)
    turns = [from_and_value(turn) for turn in with_system(example)]
    return {"id": id, "conversations": turns, **training.beside(example), "provenance": provenance_of(example)}


def _prompt_completion(example: Example) -> dict[str, Any]:
    _need_single_turn(example)
    _need_instruction(example)
    return {"prompt": example.prompt, "completion": example.output, "provenance": provenance_of(example)}


def _prompt_of_messages(example: Example) -> dict[str, Any]:
    turns = with_system(example)
    answer = turns[-1:] if turns[-1]["role"] == ASSISTANT else []
    prompt = turns[: len(turns) - len(answer)]
    if not prompt:
        raise Unfit("no_instruction", "has no question")
    return {"prompt": prompt, "completion": answer, "provenance": provenance_of(example)}


def _text2text(example: Example) -> dict[str, Any]:
    _need_single_turn(example)
    _need_instruction(example)
    return {"input": example.prompt, "output": example.output}


def _lmflow_conversation(example: Example) -> dict[str, Any]:
    _need_turns(example)
    more = {"tools": example.fields["tools"]} if "tools" in example.fields else {}
    id = {"conversation_id": example.id} if example.id else {}
    system = {"system": example.system} if example.system else {}
    return {**id, **system, **more, "messages": example.turns}


def _text_only(example: Example) -> dict[str, Any]:
    return {"text": example.output if not example.prompt else _vicuna(example, template.PREAMBLE)["text"]}


def _vicuna(example: Example, preamble: str) -> dict[str, Any]:
    _need_turns(example)
    return {"text": template.render(example.system, example.turns, preamble)}


def _need_single_turn(example: Example) -> None:
    if not example.is_single_turn:
        raise Unfit("multi_turn", f"is a conversation of {len(example.turns)} turns")


def _need_instruction(example: Example) -> None:
    if not example.prompt:
        raise Unfit("no_instruction", "has no question")


def _need_turns(example: Example) -> None:
    """Raise Unfit unless user and assistant alternate, the user first."""
    roles = [turn["role"] for turn in example.turns]
    if not roles or roles != ([USER, ASSISTANT] * len(roles))[: len(roles)]:
        raise Unfit(
            "roles", f"has the roles {', '.join(roles[:8]) or '(none)'}, but user and assistant must take turns"
        )


def _one(row: Callable[[Example], dict[str, Any]]) -> Callable[[Example], list[dict[str, Any]]]:
    return lambda example: [row(example)]


_TRAINER = frozenset(["turns", "parts", "system", "tools", "images", "rejected", "label", "rejected_from"])
_PAIRS_ONLY = ("llama-factory", "axolotl")
"""Formats that hold a rejected answer only together with a chosen one."""
_EVERYTHING = frozenset(["input", "system", "provenance", "turns"])
_CHAT = _EVERYTHING - {"input"}
_FORMATS = {
    one.name: one
    for one in (
        Format("alpaca", "instruction, input and output, nothing else", _one(_alpaca), frozenset(["input"])),
        Format("messages", "chat messages", _one(_messages), _TRAINER - {"rejected", "label"}),
        Format("sharegpt", "ShareGPT conversations", _one(_sharegpt), _CHAT),
        Format("prompt-completion", "prompt and completion", _one(_prompt_completion), frozenset(["provenance"])),
        Format(
            "openai-batch",
            "requests of an OpenAI batch",
            training.openai_batch,
            frozenset(["turns", "parts", "system", "tools"]),
        ),
        Format("llama-factory", "conversations of LLaMA-Factory", training.llama_factory, _TRAINER - {"label"}),
        Format("axolotl", "conversations of Axolotl", training.axolotl, _TRAINER - {"label"}),
    )
}
_WITH_PROVENANCE = Format("messages", "chat messages", _one(_messages_with_provenance), _CHAT | {"parts", "images"})
_LMFLOW = {
    "text2text": Format("lmflow", "LMFlow text2text", _one(_text2text), frozenset()),
    "conversation": Format(
        "lmflow", "LMFlow conversation", _one(_lmflow_conversation), frozenset(["system", "id", "tools", "turns"])
    ),
    "text_only": Format("lmflow", "LMFlow text_only", _one(_text_only), frozenset(["system"])),
}
SUFFIXES = {
    "jsonl": (".jsonl", ".json"), "alpaca": (".json", ".jsonl"), "messages": (".jsonl", ".json"),
    "sharegpt": (".json", ".jsonl"), "prompt-completion": (".jsonl", ".json"), "lmflow": (".json",),
    "vicuna": (".jsonl", ".json"), "parquet": (".parquet",),
    "preference": (".jsonl", ".json"), "kto": (".jsonl", ".json"), "openai-batch": (".jsonl",),
    "llama-factory": (".json", ".jsonl"), "axolotl": (".jsonl", ".json"),
}  # fmt: skip
"""Writable formats with their file name extensions; standard output gets the form of the first one."""


def lmflow_type(format: Format) -> str:
    """Return the type that an LMFlow file states."""
    return next(name for name, one in _LMFLOW.items() if one is format)
