"""Read rows of flat fields: a question and an answer under any of the usual names, with an input, a system prompt and earlier
exchanges. A bad row raises `LineError` with its location.
"""

import json
from collections.abc import Callable
from typing import Any

from self_instruct.datasets.chats import SYSTEMS, expanded, turns_of
from self_instruct.datasets.example import Example, of_turns
from self_instruct.datasets.fields import ABOUT, about_of, check_output, input_of, rest_of, text_of
from self_instruct.user_files import LineError

INPUTS = ("input", "context")
"""Field names that formats use for the input."""
HISTORY = "history"
PROMPTS = (
    "instruction", "prompt", "question", "query", "problem", "inputs", "user", "human", "user_input", "user_message",
    "user_prompt", "input_text", "request", "task", "input", "q",
)  # fmt: skip
ANSWERS = (
    "output", "response", "completion", "generation", "solution", "generated_solution", "targets", "target", "answer",
    "answers", "assistant", "bot", "gpt", "chatgpt", "assistant_response", "model_response", "model_output", "output_text",
    "assistant_message", "bot_response", "reply", "correct_answer", "expected_output", "expected_answer", "final_answer", "a",
    "canonical_solution", "responses", "generations",
)  # fmt: skip
"""Field names of questions and answers, the most specific ones first."""
_PAIRS = (("text", "code"), ("prompt", "text"), ("message_1", "message_2"))
"""Names that are a question and an answer only together: of MBPP, Cosmopedia and CAMEL."""


def flat(
    instruction: str, *outputs: str, inputs: tuple[str, ...] = INPUTS, system: str = "system", category: str = "category"
) -> Callable[[dict[str, Any], str], Example]:  # fmt: skip
    """Return a function that reads flat rows. It takes output and input from the first of the given fields that a row has."""

    def read(row: dict[str, Any], place: str) -> Example:
        check_output(row, place, *outputs)
        output = next((name for name in outputs if row.get(name) is not None), outputs[0])
        input = next((name for name in inputs if isinstance(row.get(name), str)), inputs[0] if inputs else "")
        # A field is null in a table if only other rows have it.
        unfilled = (name for name in (*inputs, *outputs) if row.get(name) is None)
        return Example(
            text_of(row, instruction, place, required=True),
            input_of(row, input, place),
            text_of(row, output, place),
            text_of(row, system, place),
            **about_of(row, instruction, input, output, system, *unfilled, category=category),
        )

    return read


def with_history(example: Example, place: str) -> Example:
    """Return an example as a conversation that begins with the exchanges in its field `history`, if it has that field."""
    earlier = example.fields.get(HISTORY)
    if example.messages or not isinstance(earlier, list) or not earlier:
        return example
    turns = expanded(earlier)
    if turns is None:
        problem = 'field "history" must be a list of [question, answer], or of turns'
        raise LineError("wrong_type", place, problem)
    about = {name: getattr(example, name) for name in (*ABOUT, "path", "row")}
    about["fields"] = rest_of(example.fields, HISTORY)
    return of_turns([*turns_of(turns, place), *example.turns], system=example.system, **about)


def pair_names(row: dict[str, Any]) -> tuple[str, str] | None:
    """Return the names of the question and the answer of a row; None if it has no usual ones."""
    asked = next((name for name in PROMPTS if isinstance(row.get(name), str) and row[name]), None)
    answered = next((name for name in ANSWERS if name != asked and is_answer(row.get(name))), None)
    if asked is not None and answered is not None:
        return asked, answered
    return next(
        (names for names in _PAIRS if all(isinstance(row.get(name), str) and row[name] for name in names)), None
    )


def is_answer(value: Any) -> bool:
    """Return whether a value can be an answer: a text, a number, true or false, or a list of texts."""
    return isinstance(value, str | int | float) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    )


def pair(row: dict[str, Any], place: str) -> Example:
    """Read a row of a question and an answer under any usual names. If there are several answers, the first is the output, and
    all stay in `fields`. A number becomes text.
    """
    names = pair_names(row)
    if names is None:
        raise LineError(
            "missing_field", place, "has no question and answer under usual names; name their fields with --map"
        )
    asked, answered = names
    value = row[answered]
    several = isinstance(value, list) and len(value) > 1
    output = value[0] if isinstance(value, list) else value
    system = next((name for name in SYSTEMS if isinstance(row.get(name), str)), SYSTEMS[0])
    inputs = [name for name in INPUTS if name != asked and isinstance(row.get(name), str)][:1]
    about = about_of(row, asked, *([] if several else [answered]), system, *inputs)
    return Example(
        text_of(row, asked, place, required=True),
        input_of(row, inputs[0], place) if inputs else "",
        as_text(output),
        text_of(row, system, place),
        **about,
    )


def as_text(value: Any) -> str:
    """Return a text as it is, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def squad(row: dict[str, Any], place: str) -> Example:
    """Read a row of SQuAD. The first answer is the output; it is empty if there is no answer."""
    found = row["answers"].get("text") if isinstance(row["answers"], dict) else None
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise LineError("wrong_type", place, 'field "answers" must have a list "text" of texts')
    input, question = text_of(row, "context", place), text_of(row, "question", place, required=True)
    return Example(question, input, texts[0] if texts else "", **about_of(row, "context", "question"))


_CHOICES = ("choices", "options", "endings", "choice")
_SOLVED = (
    "answer",
    "answerKey",
    "answer_idx",
    "answer_index",
    "answer_key",
    "label",
    "correct",
    "target",
    "gold",
    "cop",
)
_QUESTIONS = ("question", "question_stem", "ctx", "query", "problem", "prompt", "instruction", "input", "sentence")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def choices_of(row: dict[str, Any]) -> tuple[str, dict[str, str], Any] | None:
    """Return the question of a multiple-choice row, its choices by letter, and the answer as in the row; else None."""
    asked = next((row[name] for name in _QUESTIONS if isinstance(row.get(name), str)), None)
    solved = next((row[name] for name in _SOLVED if isinstance(row.get(name), str | int)), None)
    found = next((row[name] for name in _CHOICES if isinstance(row.get(name), list | dict)), None)
    if isinstance(found, dict) and isinstance(found.get("text"), list) and isinstance(found.get("label"), list):
        found = dict(zip(map(str, found["label"]), found["text"], strict=False))
    elif isinstance(found, list) and all(isinstance(one, dict) and {"label", "text"} <= {*one} for one in found):
        found = {str(one["label"]): one["text"] for one in found}
    elif isinstance(found, list):
        found = dict(zip(_LETTERS, found, strict=False))
    elif found is None and all(isinstance(row.get(letter), str) for letter in "AB"):
        found = {letter: row[letter] for letter in _LETTERS if isinstance(row.get(letter), str)}
    whole = isinstance(found, dict) and len(found) > 1 and all(isinstance(text, str) for text in found.values())
    return (asked, {str(key): text for key, text in found.items()}, solved) if whole and found and asked else None


def multiple_choice(row: dict[str, Any], place: str) -> Example:
    """Read a question with choices. The choices are the input, one per line, and the text of the right choice is the output.
    All fields of the row stay in `fields`.
    """
    found = choices_of(row)
    if found is None:
        raise LineError("missing_field", place, "has no question with a list of choices")
    asked, choices, solved = found
    texts, names = [*choices.values()], [*choices]
    key = str(solved).strip()
    if key in choices:
        right = choices[key]
    elif key in texts:
        right = key
    else:
        at = int(key) if key.isdecimal() and len(key) < 4 else _LETTERS.find(key.upper()) if len(key) == 1 else -1
        right = texts[at] if 0 <= at < len(texts) else ""
    lines = "\n".join(f"{name}. {text}" for name, text in zip(names, texts, strict=True))
    return Example(asked, lines, right, **about_of(row))
