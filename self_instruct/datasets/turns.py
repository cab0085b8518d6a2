"""Read the turns of a conversation in any of the usual notations, and return them in one: `role`, `content` (the text), and if
present `reasoning_content`, `tool_calls` as OpenAI writes them, `tool_call_id`, `name` and `parts`.

`parts` holds the content as a list if the text alone would lose something: images, sounds, annotations. Unknown fields stay in
the turn.
"""

import ast
import json
from collections.abc import Iterator
from typing import Any

from self_instruct.datasets.example import ASSISTANT, SYSTEM, TOOL, USER, Turn
from self_instruct.datasets.fields import rest_of
from self_instruct.user_files import LineError, json_kind

_ROLES = {
    **dict.fromkeys(("human", "prompter"), USER),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "chatbot", "bot", "ai"), ASSISTANT),
    **dict.fromkeys(("function", "observation", "ipython", "tool_response", "tool_result"), TOOL),
    **{role: role for role in (USER, ASSISTANT, SYSTEM, TOOL)},
}
"""Names of roles, compared in lower case."""
_NAMES = {USER: "human", ASSISTANT: "gpt"}
CALLS = ("function_call", "tool_call")
"""Roles of ShareGPT turns, and types of parts, that contain tool calls."""
_STYLES = (("role", "content"), ("from", "value"), ("speaker", "text"), ("author", "content"))
_CONTENTS = ("content", "value", "text", "parts", "message", "utterance")
_TEXTS = ("text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text")
_THOUGHTS = ("reasoning", "thinking")
_USES = ("tool_use", *CALLS, "server_tool_use")


def style_of(turn: dict[str, Any]) -> str | None:
    """Return the key that names the speaker of a turn; None if there is none."""
    return next((name for name, _ in _STYLES if isinstance(turn.get(name), str)), None)


def turns_of(turns: list[Any], place: str) -> tuple[Turn, ...]:
    """Return the turns of a conversation, with `role` and `content` first; unusual role names are kept as `from`."""
    return tuple(made for number, turn in enumerate(turns, start=1) for made in _turns(turn, number, place))


def from_and_value(turn: Turn) -> dict[str, Any]:
    """Return a turn in ShareGPT's form."""
    role, value = turn.get("from") or _NAMES.get(turn["role"], turn["role"]), turn["content"]
    taken = ["role", "content", "from"]
    if role in CALLS and not value:
        calls = [call.get("function", call) for call in turn.get("tool_calls", [])]
        value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
        taken.append("tool_calls")
    return {"from": role, "value": value, **rest_of(turn, *taken)}


def decoded(value: Any) -> Any:
    """Return the list or object that a text holds as JSON or as a Python literal; any other value unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    for decode in (json.loads, ast.literal_eval):
        try:
            found = decode(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, list | dict) else value
    return value


def text_in(value: Any) -> str | None:
    """Return the text of a turn's content: a text, a part, or a list of these; None if it contains anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        keys = ("text", "value", "content", "refusal", "thinking", "reasoning", "summary")
        return next((text for key in keys if (text := text_in(value.get(key))) is not None), None)
    if isinstance(value, list):
        texts = [text_in(part) for part in value]
        return "".join(text for text in texts if text is not None) if None not in texts else None
    return None


def media_of(part: dict[str, Any]) -> tuple[str, Any] | None:
    """Return the kind of media that a part refers to and the reference, None where the part only marks its position."""
    kind = part.get("type")
    if not isinstance(kind, str):
        return None
    name = next((name for name in ("image", "video", "audio") if name in kind), None)
    if name is None:
        return None
    keys = (kind, name, "url", "path", f"{name}_url", "image_url", "value", "source")
    found = next((part[key] for key in keys if part.get(key) is not None), None)
    return name, found["url"] if isinstance(found, dict) and set(found) == {"url"} else found


def _turns(turn: Any, number: int, place: str) -> Iterator[Turn]:
    """Yield the turns of one turn in a file. Each tool result in it becomes a separate turn."""
    if not isinstance(turn, dict):
        raise LineError("wrong_type", place, f"turn {number} is {json_kind(turn)}, not an object")
    turn = _as_message(turn)
    if style_of(turn) is None:
        turn = {key.lower() if isinstance(key, str) else key: value for key, value in turn.items()}
    by, usual = next((names for names in _STYLES if turn.get(names[0])), ("from", "value"))
    key = next((name for name in (usual, *_CONTENTS) if turn.get(name) is not None), usual)
    role, content = turn.get(by), turn.get(key)
    if not isinstance(role, str) or not role:
        raise LineError("no_role", place, f'turn {number} has no "role" or "from" that says who speaks')
    known, content, extra = _read(role, content, rest_of(turn, by, key, usual))
    if isinstance(content, list):
        parts = _Parts(content)
        if not parts.unknown:
            yield from parts.turns(known, extra)
            return
    if content is None and {"tool_calls", "reasoning_content", "refusal"} & {*extra}:
        content = ""
    if not isinstance(content, str):
        raise LineError("wrong_type", place, f'turn {number}: field "{key}" is {json_kind(content)}, not a text')
    yield {"role": known, "content": content, **extra}


def _read(role: str, content: Any, rest: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """Return the usual name of a role, the content, and the other fields of a turn, with function calls as `tool_calls`."""
    known = _ROLES.get(role.lower(), role)
    # A field is null in a table if only other rows have it.
    extra = {name: value for name, value in rest.items() if value is not None}
    if role.lower() not in (known, _NAMES.get(known)):
        extra = {"from": role, **extra}
    if role in CALLS and isinstance(content, str) and (calls := _calls_in(content)):
        known, content, extra = ASSISTANT, "", {"from": role, **extra, "tool_calls": calls}
    call = extra.get("function_call")
    if isinstance(call, dict) and "tool_calls" not in extra:
        extra["tool_calls"] = [{"type": "function", "function": extra.pop("function_call")}]
    return known, [content] if isinstance(content, dict) else content, extra


def _as_message(turn: dict[str, Any]) -> dict[str, Any]:
    """Return an item of the Responses API that has no role as a message; any other turn unchanged."""
    kind = turn.get("type")
    if "role" in turn or not isinstance(kind, str):
        return turn
    if kind == "function_call":
        return {"role": ASSISTANT, "content": [turn]}
    if kind == "function_call_output":
        return {"role": TOOL, "tool_call_id": turn.get("call_id"), **rest_of(turn, "type", "call_id", "output"),
                "content": turn.get("output")}  # fmt: skip
    return {"role": ASSISTANT, "content": [turn]} if kind == "reasoning" else turn


def _calls_in(text: str) -> list[dict[str, Any]]:
    """Return the calls that a text holds as JSON: one object with a name, or a list of them; empty if it holds others."""
    found = decoded(text)
    calls = found if isinstance(found, list) else [found]
    whole = bool(calls) and all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls)
    return [{"type": "function", "function": call} for call in calls] if whole else []


class _Parts:
    """The parts of a turn's content, sorted into texts, thoughts, tool calls, tool results and others."""

    def __init__(self, content: list[Any]) -> None:
        self._texts, self._thoughts = list[str](), list[str]()
        self._kept, self._plain = list[dict[str, Any]](), True
        self._calls, self._results = list[dict[str, Any]](), list[Turn]()
        self.unknown = False
        """Whether a part is neither a text nor an object."""
        for part in content:
            if isinstance(part, str):
                self._add_text({"type": "text", "text": part}, part)
            elif isinstance(part, dict):
                self._add({key: value for key, value in part.items() if value is not None})
            else:
                self.unknown = True

    def turns(self, role: str, extra: dict[str, Any]) -> Iterator[Turn]:
        """Yield the tool results, then a turn with the other parts if there are any."""
        yield from self._results
        more = dict(extra)
        if self._thoughts:
            stated = more.get("reasoning_content")
            more["reasoning_content"] = "\n".join([*([stated] if isinstance(stated, str) else []), *self._thoughts])
        if self._calls:
            more["tool_calls"] = [*more.get("tool_calls", []), *self._calls]
        if not self._plain:
            more["parts"] = self._kept
        if more or self._texts or not self._results:
            yield {"role": role, "content": "".join(self._texts), **more}

    def _add(self, part: dict[str, Any]) -> None:
        kind = part.get("type")
        if kind in _USES or "functionCall" in part or "function_call" in part:
            self._add_call(part)
        elif kind == "tool_result" or "functionResponse" in part or "function_response" in part:
            self._add_result(part)
        elif kind in _THOUGHTS or part.get("thought") is True:
            self._add_thought(part)
        elif (kind in _TEXTS or kind is None) and (text := text_in(part)) is not None:
            self._add_text(part, text)
        else:
            self._plain = False
            self._kept.append(part)

    def _add_text(self, part: dict[str, Any], text: str) -> None:
        self._texts.append(text)
        self._kept.append(part)
        self._plain &= _is_plain(part) and part.get("type") != "refusal"

    def _add_thought(self, part: dict[str, Any]) -> None:
        text = text_in(rest_of(part, "type", "thought", "signature", "id"))
        if text is not None:
            self._thoughts.append(text)
        if text is None or not _is_plain(part):
            self._plain = False
            self._kept.append(part)

    def _add_call(self, part: dict[str, Any]) -> None:
        call = next((part[key] for key in ("functionCall", "function_call") if isinstance(part.get(key), dict)), None)
        more = rest_of(part, "functionCall", "function_call") if call is not None else {}
        call = call if call is not None else rest_of(part, "type")
        value = call.get("value")
        if isinstance(value, str | dict):  # LLaMA-Factory
            inner = decoded(value)
            call = {**rest_of(call, "value"), **inner} if isinstance(inner, dict) else call
        given = next((key for key in ("arguments", "input", "args", "parameters") if key in call), None)
        about = next((key for key in ("call_id", "id") if isinstance(call.get(key), str)), None)
        function = {"name": call.get("name"), **({"arguments": call[given]} if given else {})}
        self._calls.append({
            **({"id": call[about]} if about else {}), "type": "function", "function": function,
            **rest_of(call, "name", *([given] if given else []), *([about] if about else [])), **more,
        })  # fmt: skip

    def _add_result(self, part: dict[str, Any]) -> None:
        key = next((key for key in ("functionResponse", "function_response") if isinstance(part.get(key), dict)), None)
        result = {**part[key], **rest_of(part, key)} if key else rest_of(part, "type")
        held = next((name for name in ("content", "response", "output", "value") if result.get(name) is not None), "")
        content = result.get(held, "")
        id = {"tool_call_id": result["tool_use_id"]} if "tool_use_id" in result else {}
        more = {**id, **rest_of(result, "tool_use_id", held)}
        if isinstance(content, list) and not (parts := _Parts(content)).unknown:
            self._results += parts.turns(TOOL, more)
            return
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        self._results.append({"role": TOOL, "content": text, **more})


def _is_plain(part: dict[str, Any]) -> bool:
    """Return whether a part has one text and nothing else."""
    values = [*rest_of(part, "type", "thought").values()]
    return len(values) == 1 and isinstance(values[0], str)
