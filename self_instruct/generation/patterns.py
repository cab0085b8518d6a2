"""The patterns of --constrain: regular expressions for what the model is asked for and what the parser reads.

A pattern uses only what all engines read in the same way: literal text, classes, groups, alternatives and repetition, no
look-around, no anchors and no flags. It is part of the plan, so run.yaml has its hash. A format has the pattern of its blocks.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import TokenCounter
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT
from self_instruct.formats.pattern import literal
from self_instruct.generation.config import Config
from self_instruct.rules.validators.choices import read_options

# Letters of most scripts, without the punctuation and the spaces between them.
_LETTER = "[A-Za-z\u00c0-\u167f\u1681-\u1fff\u3040-\ud7ff\uf900-\ufdff]"
# Some models repeat the number, which the parser removes. A label, such as "Task:", would have a colon in the first two words.
_LINE = rf"(?:[0-9]{{1,3}}\. )?{_LETTER}[^\s:]*(?: [^\s:]+(?: [^\n]*)?)?"
# The parser never takes an indented line for the next item.
_MORE = r"(?:\n {2,4}[^\s][^\n]*)*"
_INPUT = rf"\n {{0,3}}Input: [^\s][^\n]*{_MORE}"


def task_list_pattern(number: int, with_input: bool) -> str:
    """Return the pattern of a numbered list of `number` tasks, which `listed_tasks` reads whole; the next number may follow.

    A task has one line, and further lines if they are indented; its input begins a line of its own.
    """
    item = _LINE + _MORE + (_INPUT if with_input else "")
    items = [rf"{at}\. {item}" for at in range(1, number + 1)]
    # The next number is the text that ends a list: a model that cannot write it would go on with the last task instead.
    return r"\n\n?".join(items) + rf"(?:\n\n?{number + 1}\.)?"


def topic_list_pattern(first: int, number: int) -> str:
    """Return the pattern of a numbered list of topics, a line each, behind the number `first`; the next number may follow.

    As without a pattern, a topic of more than 12 words or 120 characters is not read.
    """
    topic = rf"{_LETTER}[^\s:]*(?: [^\s:]+)*"
    return (
        topic
        + "".join(rf"\n{at}\. {topic}" for at in range(first + 1, first + number))
        + rf"(?:\n{first + number}\.)?"
    )


def options_pattern(task: str) -> str | None:
    """Return the pattern of an answer to a multiple-choice question: letter and text of an option. None without options."""
    found = read_options(task)
    if found is None:
        return None
    return "(?:" + "|".join(literal(f"{letter}. {text}") for letter, text in found.texts.items()) + ")"


def patterns_hash() -> str:
    """Return a hash that changes with the form of the patterns."""
    shown = [
        task_list_pattern(2, True), topic_list_pattern(1, 2), options_pattern("Which?\nA. one\nB. two"),
        INSTRUCTION_INPUT_OUTPUT.pattern(), INSTRUCTION_INPUT_OUTPUT.pattern(last_only=True),
    ]  # fmt: skip
    return hashlib.sha256(repr(shown).encode()).hexdigest()


def described(config: Config) -> dict[str, Any]:
    """Return the entry of run.yaml for the patterns; empty if the run has none."""
    return {"patterns_sha256": patterns_hash()} if config.sampling.constrain else {}


def check_constrain(config: Config, reader: TokenCounter | None = None) -> None:
    """Raise UserError if --constrain does not suit the recipe, or the model or server, which `reader` describes."""
    if not config.sampling.constrain:
        return
    if config.prompt.recipe == "magpie":
        raise UserError(
            "--constrain does not go with --recipe magpie, in which the model writes a user's message of any form; use "
            "--recipe chat or few_shot, or leave --constrain out"
        )
    if getattr(reader, "only_schemas", False):
        raise UserError(
            "--constrain: the server at --api_base enforces JSON schemas only, which can be given for judgements, but not for "
            "lists of tasks; use a server that takes regular expressions or grammars, such as vLLM, SGLang or llama.cpp, or "
            "leave --constrain out"
        )
    arguments: Mapping[str, Any] = getattr(reader, "template_arguments", {})
    opened = getattr(getattr(reader, "template", None), "opened_thought", "").strip()
    for name, value in thought_tags().switches.items():
        if arguments.get(name, value) is not value:
            opened = f"{name}={arguments[name]}"
    if opened:
        raise UserError(
            f"--constrain does not go with a model that thinks before it answers ({opened}), since the pattern holds from the "
            "first token; turn thinking off with --chat_template_kwargs if the template can, or leave --constrain out"
        )
