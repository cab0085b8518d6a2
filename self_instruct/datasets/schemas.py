"""The formats that can be read: which keys identify each, and how a row becomes an example.

To add a format of flat rows, add one line to `_ALL`; its name becomes a choice of `--input_format`.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from self_instruct.datasets import chats, marked_text, ours
from self_instruct.datasets.example import OPTIONAL, Example
from self_instruct.datasets.flat import choices_of, flat, multiple_choice, pair, pair_names, squad
from self_instruct.datasets.preferences import is_preference, is_verdict, preference, verdict
from self_instruct.errors import UserError
from self_instruct.user_files import LineError


@dataclass(frozen=True)
class Schema:
    """A format: its name, a description, whether a row fits it, how a row is read (raises `LineError`), the optional columns
    that its rows need, and whether its lines are kept unchanged (`native`).
    """

    name: str
    what: str
    fits: Callable[[dict[str, Any]], bool]
    read: Callable[[dict[str, Any], str], Example]
    columns: frozenset[str] = frozenset()
    native: bool = False


def _keys(*needed: str, one_of: Iterable[str] = (), none_of: Iterable[str] = ()) -> Callable[[dict[str, Any]], bool]:
    some, none = set(one_of), set(none_of)
    return lambda row: (
        all(name in row for name in needed) and (not some or bool(some & set(row))) and not none & set(row)
    )


def _chat(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: chats.style(row) == name


def _ours(row: dict[str, Any]) -> bool:
    return "instruction" in row and isinstance(row.get("provenance"), dict)


def _alpaca(row: dict[str, Any]) -> bool:
    return "instruction" in row and (row.get("output") is not None or pair_names(row) is None)


def _squad(row: dict[str, Any]) -> bool:
    answers = row.get("answers")
    return isinstance(row.get("question"), str) and isinstance(answers, dict) and "text" in answers


def _completion(row: dict[str, Any]) -> bool:
    return "prompt" in row and ("completion" in row or pair_names(row) is None)


def _text(row: dict[str, Any], place: str) -> Example:
    if row.get("role") and ("message_id" in row or "parent_id" in row):
        problem = "is one message of a thread; join each thread to a list of messages first, or read a file of trees"
        raise LineError("single_message", place, problem)
    return marked_text.templated(row, place)


_MAGPIE = (
    "gen_input_configs",
    "conversations",
    "intent",
    "knowledge",
    "difficulty",
    "input_quality",
    "task_category",
    "uuid",
)
_WILD = ("instruction_type", "special_tag")
_RATED = ("completion_a", "responses_and_scores")
_BOTH = frozenset(OPTIONAL)
_ALL = (
    Schema("jsonl", "records of self-instruct", _ours, ours.read, native=True),
    Schema("self-instruct-seeds", "seed tasks", _keys("instruction", "instances"), ours.read, native=True),
    Schema("preference", "questions with a better and a worse answer", is_preference, preference),
    Schema("kto", "answers labelled good or bad, as in KTO", is_verdict, verdict),
    Schema("magpie", "Magpie", _keys("instruction", "response", one_of=_MAGPIE), chats.magpie),
    Schema("exchange", "requests to a model and its answers", chats.is_exchange, chats.exchange, _BOTH),
    Schema("sharegpt", "ShareGPT conversations", _chat("from"), chats.conversation, _BOTH),
    Schema("messages", "chat messages", _chat("role"), chats.conversation, _BOTH),
    Schema("comparison", "GPT-4-LLM comparisons, of which the better answer is used", _keys("user_input", one_of=_RATED),
           chats.comparison),
    Schema("distilabel", "generations of distilabel",
           _keys("instruction", "generation", none_of=("output", "response")),
           flat("instruction", "generation", system="system_prompt")),
    Schema("dolly", "Dolly", _keys("instruction", "context", none_of=("input",)),
           flat("instruction", "response", "output", inputs=("context",))),
    Schema("airoboros", "airoboros", _keys("instruction", "response"), flat("instruction", "response")),
    Schema("instruction-wild", "InstructionWild", _keys("instruction", one_of=_WILD),
           flat("instruction", "output", category="instruction_type")),
    Schema("alpaca", "instruction, input and output as in Alpaca", _alpaca, ours.read, native=True),
    Schema("marked-text", "text with the markers of a chat template", lambda row: marked_text.marked_name(row) is not None,
           marked_text.marked),
    Schema("gpt4all", "GPT4All", _keys("prompt", "response"), flat("prompt", "response")),
    Schema("prompt-completion", "prompt and completion", _completion, chats.prompt_completion),
    Schema("multiple-choice", "questions with choices", lambda row: choices_of(row) is not None, multiple_choice),
    Schema("squad", "questions about a text, as in SQuAD", _squad, squad),
    Schema("question-answer", "questions and answers, as in GSM8K", _keys("question", "answer"), flat("question", "answer")),
    Schema("vicuna", "text in the template of Vicuna", lambda row: marked_text.is_vicuna(row.get("text")),
           marked_text.templated),
    Schema("pair", "questions and answers", lambda row: pair_names(row) is not None, pair),
    Schema("text", "text without turns", _keys("text"), _text),
)  # fmt: skip
SCHEMAS = {schema.name: schema for schema in _ALL}
_LMFLOW = {
    "text_only": Schema("lmflow", "LMFlow text_only", _keys("text"), marked_text.templated),
    "text2text": Schema("lmflow", "LMFlow text2text", _keys("input", "output"), flat("input", "output", inputs=())),
    "conversation": Schema("lmflow", "LMFlow conversation", _keys("messages"), chats.conversation, _BOTH),
}
_READ_FOR_COLUMNS = frozenset(["preference", "kto", "marked-text", "pair", "map"])
"""Formats in which only reading a row shows whether it is a conversation."""
FORMATS = (*SCHEMAS, "lmflow")
"""Names of the formats that can be read."""


def recognise(rows: list[dict[str, Any]], header: dict[str, Any], key: str, path: str) -> Schema | None:
    """Return the format that fits at least half of a source's first rows, or None.

    If the rows are in a list inside an object, `key` is the list's key and `header` the values before it. Raises UserError
    for a type of LMFlow without instructions.
    """
    if key == "instances":
        return _lmflow(rows, header.get("type"), path)
    found = _fitting(rows)
    if found is not None:
        return with_columns(found, rows)
    lowered = [_in_lower_case(row) for row in rows]
    found = _fitting(lowered)
    return None if found is None else with_columns(_of_capitals(found), lowered)


def of_row(schema: Schema, row: dict[str, Any], header: Mapping[str, Any], place: str) -> Schema:
    """Return the format for a row: the one of its source, unless only another one fits the row.

    Raises LineError if the header of the row's list states a type of LMFlow without instructions.
    """
    if schema.name == "lmflow":
        stated = header.get("type")
        if stated is not None and (not isinstance(stated, str) or stated not in _LMFLOW):
            raise LineError("other_type", place, _no_instructions(stated))
        return schema if stated is None else _LMFLOW[stated]
    if schema.fits(_filled(row)):
        return schema
    return _fitting([row]) or schema


def _fitting(rows: list[dict[str, Any]]) -> Schema | None:
    """Return the first format that fits at least half of the rows. Null fields are ignored at first, because a table
    has them in the columns of other rows; if no format fits, they count as present.
    """
    for values in ([_filled(row) for row in rows], rows):
        for schema in _ALL:
            if values and sum(map(schema.fits, values)) * 2 >= len(values):
                return schema
    return None


def _in_lower_case(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its field names in lower case, if they are still different then."""
    found = {name.lower(): value for name, value in row.items()}
    return found if len(found) == len(row) else row


def _of_capitals(schema: Schema) -> Schema:
    """Return the format whose field names are written in other letters, such as "Question"."""

    def read(row: dict[str, Any], place: str) -> Example:
        return schema.read(_in_lower_case(row), place)

    return replace(schema, fits=lambda row: schema.fits(_in_lower_case(row)), read=read, native=False)


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def named(name: str, rows: list[dict[str, Any]], header: dict[str, Any], path: str) -> Schema | None:
    """Return the format that a user named. Raises UserError as `recognise` does."""
    return _lmflow(rows, header.get("type"), path) if name == "lmflow" else with_columns(SCHEMAS[name], rows)


def with_columns(schema: Schema | None, rows: list[dict[str, Any]]) -> Schema | None:
    """Add the optional columns that the rows have to a schema."""
    if schema is None:
        return None
    found = {name for name in OPTIONAL if any(row.get(name) for row in rows)}
    if schema.name == "prompt-completion" and any(isinstance(row.get("prompt"), list) for row in rows):
        found = set(OPTIONAL)
    if schema.name == "magpie" and any(len(row.get("conversations") or ()) > 2 for row in rows):
        found.add("messages")
    if schema.name == "vicuna" or (schema.name == "distilabel" and any(row.get("system_prompt") for row in rows)):
        found.add("system")
    if schema.name in _READ_FOR_COLUMNS:
        found |= _columns_of(schema, rows)
    return replace(schema, columns=schema.columns | found)


def _columns_of(schema: Schema, rows: list[dict[str, Any]]) -> set[str]:
    found = set[str]()
    for row in rows:
        with suppress(LineError):
            found |= schema.read(row, "").columns
    return found


def _lmflow(rows: list[dict[str, Any]], stated: Any, path: str) -> Schema:
    if stated is None:
        schema = next((one for one in _LMFLOW.values() if rows and all(map(one.fits, rows))), None)
    else:
        schema = _LMFLOW.get(stated) if isinstance(stated, str) else None
    if schema is None:
        raise UserError(f"{path}: {_no_instructions(stated)}")
    return schema


def _no_instructions(stated: Any) -> str:
    about = (
        "without a type, and its rows fit none" if stated is None else f"of type {stated!r}, which has no instructions"
    )
    return f"is LMFlow {about}; the types with instructions are {', '.join(_LMFLOW)}"
