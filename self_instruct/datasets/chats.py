"""Read conversations: ShareGPT, chat messages, LMFlow, Magpie, requests to model APIs and their answers, prompts and
completions. A bad row raises `LineError`.
"""

import copy
from collections.abc import Iterator
from typing import Any

from self_instruct.datasets.example import ASSISTANT, SYSTEM, TOOLS, USER, Example, Turn, of_turns
from self_instruct.datasets.fields import about_of, check_output, rest_of, text_of
from self_instruct.datasets.marked_text import open_turns, without_end
from self_instruct.datasets.turns import decoded, style_of, text_in, turns_of
from self_instruct.user_files import LineError, json_kind

_LISTS = ("messages", "conversations", "conversation", "items")
_OTHER_LISTS = ("contents", "dialog", "dialogue", "turns", "chat", "data", "message_list")
SYSTEMS = ("system", "system_prompt", "system_message", "systemInstruction", "system_instruction")
_FLAT = {"instruction", "prompt", "question", "query", "problem"}
_PAIRS = (("human", "assistant"), ("human", "gpt"), ("human", "bot"), ("user", "assistant"), ("user", "bot"), ("user", "model"),
          ("question", "answer"), ("prompt", "response"), ("query", "response"), ("instruction", "output"),
          ("input", "output"), ("q", "a"))  # fmt: skip
"""Names of a question and its answer in one object of a conversation."""


def expanded(turns: Any) -> list[Any] | None:
    """Return the turns of a conversation that is written without roles: alternating texts, pairs of texts, or objects with a
    question and an answer. Return None for an empty list and for any other value.
    """
    if not isinstance(turns, list) or not turns:
        return None
    if all(isinstance(turn, str) for turn in turns):
        return [{"role": (USER, ASSISTANT)[at % 2], "content": text} for at, text in enumerate(turns)]
    made = list[Any]()
    for turn in turns:
        if isinstance(turn, list | tuple):
            if len(turn) != 2 or not all(isinstance(text, str | None) for text in turn):
                return None
            made += _exchange(*turn)
        elif isinstance(turn, dict):
            names = None if style_of(turn) else next((two for two in _PAIRS if {*two} <= {*turn}), None)
            if names is None:
                made.append(turn)
            else:
                question, *answer = _exchange(turn[names[0]], turn[names[1]])
                made += [{**question, **rest_of(turn, *names)}, *answer]
        else:
            return None
    return made


def _exchange(question: Any, answer: Any) -> list[Turn]:
    asked = {"role": USER, "content": "" if question is None else question}
    return [asked] if answer is None else [asked, {"role": ASSISTANT, "content": answer}]


def list_of(row: dict[str, Any]) -> tuple[str, list[Any]] | None:
    """Return the name of the field with a row's conversation, and its turns; None if the row has no conversation."""
    for name in (*_LISTS, *_OTHER_LISTS):
        value = row.get(name)
        if isinstance(value, list) and name in _LISTS and value and isinstance(value[0], dict):
            if any(key in value[0] for key in ("from", "role")):
                return name, value
        if _FLAT & {*row}:
            continue
        found = expanded(decoded(value))
        if name == "data" and not all(isinstance(turn, str) for turn in value or ()):
            continue  # `data` is a list of rows
        if found and all(isinstance(turn, dict) and _has_speaker(turn) for turn in found):
            return name, found
    return None


def _has_speaker(turn: dict[str, Any]) -> bool:
    return style_of(turn) is not None or style_of({str(key).lower(): value for key, value in turn.items()}) is not None or (
        turn.get("type") in ("function_call", "function_call_output", "reasoning", "message")
    )  # fmt: skip


def style(row: dict[str, Any]) -> str | None:
    """Return how the turns of a row name the speaker, `from` or `role`; None if the row has no turns."""
    found = list_of(row)
    return None if found is None else "from" if "from" in found[1][0] else "role"


def system_of(row: dict[str, Any], place: str) -> tuple[str, str, dict[str, Any]]:
    """Return the name of the field with a row's system prompt, and its text. The third value holds the field itself if the text
    alone would lose a part of it; else it is empty.
    """
    name = next((name for name in SYSTEMS if row.get(name)), SYSTEMS[0])
    value = row.get(name)
    if value is None or isinstance(value, str):
        return name, value or "", {}
    parts = value.get("parts", [value]) if isinstance(value, dict) else value
    text = text_in(parts)
    if text is None:
        raise LineError("wrong_type", place, f'field "{name}" is {json_kind(value)}, not a text')
    plain = all(isinstance(part, str) or {*part} <= {"type", "text"} for part in parts)
    return name, text, {} if plain else {name: value}


def conversation(row: dict[str, Any], place: str) -> Example:
    """Read a row with a list of turns under any of the usual names."""
    found = list_of(row)
    name = found[0] if found else next((name for name in _LISTS if name in row), "messages")
    turns = found[1] if found else row.get(name)
    if not isinstance(turns, list) or not turns:
        raise LineError("no_turns", place, f'field "{name}" must be a list of turns, but holds none')
    id = "conversation_id" if "conversation_id" in row else "id"
    system_name, system, more = system_of(row, place)
    about = about_of(row, name, system_name, "system", id=id)
    about["fields"] |= more
    if row.get("provenance"):
        about["fields"].pop("id", None)  # the provenance has the id
    return of_turns(list(turns_of(turns, place)), system=system, **about)


# ---- requests and answers of APIs


def is_exchange(row: dict[str, Any]) -> bool:
    """Return whether a row is a request to a model API, its answer, or both."""
    holders = [*_holders(row)]
    return any(_request_name(one) or _reply_name(one) for one in holders) and (len(holders) > 1 or bool(
        _reply_name(row) or isinstance(row.get("contents"), list) or (row.get("input") and row.get("instructions"))
    ))  # fmt: skip


def exchange(row: dict[str, Any], place: str) -> Example:
    """Read a request with its messages, the answer of a model, or both: OpenAI (chat, batch, Responses), Anthropic, Gemini."""
    rest = copy.deepcopy(row)
    turns, system, more = list[Any](), "", dict[str, Any]()
    for one in _holders(rest):
        name = _request_name(one)
        if name is not None:
            asked = one.pop(name)
            turns += [{"role": USER, "content": asked}] if isinstance(asked, str) else asked
        key = "instructions" if isinstance(one.get("instructions"), str) else None
        key, text, kept = (key, one[key], {}) if key else system_of(one, place)
        if text and not system:
            system, more = text, {**more, **kept}
            one.pop(key)
        if one.get(TOOLS):
            more.setdefault(TOOLS, one.pop(TOOLS))
    for one in _holders(rest):
        turns += _reply(one)
    if not turns:
        raise LineError("no_turns", place, "holds neither messages nor an answer")
    fields = {key: value for key, value in rest.items() if value != {} or row.get(key) == {}}
    about = about_of(fields)
    about["fields"] |= more
    return of_turns(list(turns_of(turns, place)), system=system, **about)


def _holders(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a row that may hold messages or an answer: the row, its request, its response, their bodies."""
    yield row
    for name in ("body", "request", "response"):
        if isinstance(row.get(name), dict):
            yield row[name]
            if isinstance(row[name].get("body"), dict):
                yield row[name]["body"]


def _request_name(one: dict[str, Any]) -> str | None:
    for name in ("messages", "contents", "input"):
        value = one.get(name)
        if isinstance(value, list) and value and all(isinstance(turn, dict) and _has_speaker(turn) for turn in value):
            return name
    asks = isinstance(one.get("input"), str) and ("instructions" in one or _is_output(one.get("output")))
    return "input" if asks else None


def _is_output(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(item, dict) and isinstance(item.get("type"), str) for item in value
    )  # fmt: skip


def _reply_name(one: dict[str, Any]) -> str | None:
    for name, key in (("choices", "message"), ("candidates", "content")):
        value = one.get(name)
        if isinstance(value, list) and value and isinstance(value[0], dict) and isinstance(value[0].get(key), dict):
            return name
    if _is_output(one.get("output")):
        return "output"
    return "content" if one.get("role") == ASSISTANT and isinstance(one.get("content"), list | str) else None


def _reply(one: dict[str, Any]) -> list[Any]:
    """Remove the model's answer from an object, and return its turns. Of several candidates, take only the first."""
    name = _reply_name(one)
    if name == "output":
        return list(one.pop(name))
    if name == "content":
        return [{"role": one.pop("role"), "content": one.pop(name)}]
    if name is None:
        return []
    key = "message" if name == "choices" else "content"
    first, *others = one.pop(name)
    kept = [left for left in (rest_of(first, key), *others) if left]
    if kept:
        one[name] = kept
    return [{"role": ASSISTANT, **first[key]}]


# ---- formats of single datasets, and of trainers


def magpie(row: dict[str, Any], place: str) -> Example:
    """Read a row of Magpie, whose conversation repeats instruction and response unless it has more turns."""
    asked, answer = (text_of(row, name, place, required=True) for name in ("instruction", "response"))
    about = about_of(row, "instruction", "response", "conversations", "system", id="uuid", category="task_category")
    turns = row.get("conversations")
    found = turns_of(turns, place) if isinstance(turns, list) else ()
    system = text_of(row, "system", place)
    if found and found[0] == {"role": SYSTEM, "content": system or found[0]["content"]}:
        system, found = found[0]["content"], found[1:]
    if found and list(found) != [{"role": USER, "content": asked}, {"role": ASSISTANT, "content": answer}]:
        return of_turns(list(found), system=system, **about)
    return Example(asked, "", answer, system, **about)


def comparison(row: dict[str, Any], place: str) -> Example:
    """Read a task with several answers: the best one becomes the output, the others stay in `fields`."""
    rated = row.get("responses_and_scores")
    if rated is None:
        answer = text_of(row, "completion_a", place, required=True)
        return Example(text_of(row, "user_input", place, required=True), "", answer,
                       **about_of(row, "user_input", "completion_a"))  # fmt: skip
    numbers = (int, float)
    whole = isinstance(rated, list) and rated and all(isinstance(one, dict) and isinstance(one.get("score"), numbers)
                                                      for one in rated)  # fmt: skip
    if not whole:
        problem = 'field "responses_and_scores" must be a list of {"response": ..., "score": number}'
        raise LineError("wrong_type", place, problem)
    best = max(rated, key=lambda one: one["score"])
    answer = text_of(best, "response", place, required=True)
    return Example(text_of(row, "user_input", place, required=True), "", answer, **about_of(row, "user_input"))


def prompt_completion(row: dict[str, Any], place: str) -> Example:
    """Read a prompt and a completion: two texts, or two lists of messages."""
    check_output(row, place, "completion")
    prompt, completion = row.get("prompt"), row.get("completion")
    about = about_of(row, "prompt", "completion", "system")
    if isinstance(completion, dict) or (isinstance(prompt, list) and isinstance(completion, str)):
        completion = [{"role": ASSISTANT, "content": completion} if isinstance(completion, str) else completion]
    if isinstance(prompt, list) and isinstance(completion, list | None):
        system = text_of(row, "system", place)
        return of_turns(list(turns_of([*prompt, *(completion or [])], place)), system=system, **about)
    asked, answer = text_of(row, "prompt", place, required=True), text_of(row, "completion", place)
    system, said = text_of(row, "system", place), open_turns(asked)
    if said is not None and not (system and said[0]):
        answered = [{"role": ASSISTANT, "content": without_end(answer)}] if answer else []
        return of_turns([*said[1], *answered], system=system or said[0], **about)
    return Example(asked, "", answer, system, **about)
