"""Read conversations: ShareGPT, chat messages, LMFlow, Magpie, prompts and completions. A bad row raises `LineError`."""

from typing import Any

from self_instruct.datasets import template
from self_instruct.datasets.example import ASSISTANT, SYSTEM, USER, Example, Turn, of_turns
from self_instruct.datasets.fields import about_of, check_output, rest_of, text_of
from self_instruct.user_files import LineError

_LISTS = ("messages", "conversations", "conversation", "items")
TOOL = "tool"
_ROLES = {
    "human": USER,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bing": ASSISTANT,
    "bard": ASSISTANT,
    "model": ASSISTANT,
    **{role: role for role in (USER, ASSISTANT, SYSTEM, TOOL)},
}
"""Names of roles, compared in lower case."""
_NAMES = {USER: "human", ASSISTANT: "gpt"}


def style(row: dict[str, Any]) -> str | None:
    """Return the key that names the speaker of a turn, `from` or `role`; None if the row has no turns."""
    turns = next((row[name] for name in _LISTS if isinstance(row.get(name), list)), None)
    if not turns or not isinstance(turns[0], dict):
        return None
    return next((name for name in ("from", "role") if name in turns[0]), None)


def turns_of(turns: list[Any], place: str) -> tuple[Turn, ...]:
    """Return the turns of a conversation, with `role` and `content` first; unusual role names are kept as `from`."""
    return tuple(_turn(turn, number, place) for number, turn in enumerate(turns, start=1))


def from_and_value(turn: Turn) -> dict[str, Any]:
    """Return a turn in ShareGPT's form."""
    role = turn.get("from") or _NAMES.get(turn["role"], turn["role"])
    return {"from": role, "value": turn["content"], **rest_of(turn, "role", "content", "from")}


def _turn(turn: Any, number: int, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise LineError("wrong_type", place, f"turn {number} is a {type(turn).__name__}, not an object")
    names = ("role", "content") if "role" in turn else ("from", "value")
    role, content = turn.get(names[0]), turn.get(names[1])
    if not isinstance(role, str) or not role:
        raise LineError("no_role", place, f'turn {number} has no "role" or "from" that says who speaks')
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    if content is None and turn.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        raise LineError(
            "wrong_type", place, f'turn {number}: field "{names[1]}" is a {type(content).__name__}, not a text'
        )
    known = _ROLES.get(role.lower(), role)
    extra = {
        key: value for key, value in rest_of(turn, *names).items() if value is not None
    }  # tables fill keys with null
    if role.lower() not in (known, _NAMES.get(known)):
        extra = {"from": role, **extra}
    return {"role": known, "content": content, **extra}


def conversation(row: dict[str, Any], place: str) -> Example:
    """Read a row with a list of turns under any of the usual names."""
    name = next((name for name in _LISTS if name in row), "messages")
    turns = row.get(name)
    if not isinstance(turns, list) or not turns:
        raise LineError("no_turns", place, f'field "{name}" must be a list of turns, but holds none')
    id = "conversation_id" if "conversation_id" in row else "id"
    about, system = about_of(row, name, "system", id=id), text_of(row, "system", place)
    if row.get("provenance"):
        about["fields"].pop("id", None)  # the provenance has it
    return of_turns(list(turns_of(turns, place)), system=system, **about)


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
    """Read a task with several answers: the best one becomes the output, the others stay among the fields."""
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
    if isinstance(prompt, list) and isinstance(completion, list | None):
        system = text_of(row, "system", place)
        return of_turns(list(turns_of([*prompt, *(completion or [])], place)), system=system, **about)
    asked, answer = text_of(row, "prompt", place, required=True), text_of(row, "completion", place)
    return Example(asked, "", answer, text_of(row, "system", place), **about)


def is_vicuna(text: Any) -> bool:
    """Return whether a value is text in Vicuna's template."""
    return isinstance(text, str) and template.holds_turns(text)


def templated(row: dict[str, Any], place: str) -> Example:
    """Read text in Vicuna's template, or plain text."""
    text = text_of(row, "text", place, required=True)
    about = about_of(row, "text")
    if not template.holds_turns(text):
        return Example("", "", text, **about)
    parsed = template.parse(text)
    if parsed is None:
        raise LineError(
            "ambiguous_turns", place, '"USER:" and "ASSISTANT:" do not take turns in the text; it cannot be split'
        )
    system, turns = parsed
    if len(turns) > 2:
        return of_turns(turns, system=system, **about)
    return Example(turns[0]["content"], "", turns[1]["content"] if len(turns) > 1 else "", system, **about)
