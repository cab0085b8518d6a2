"""Parse server responses into texts, or into the reason why they are unusable."""

import json
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import FinishReason, Usage
from self_instruct.user_files import MOST_EXACT

_STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")
_CUT = ("length", "max_tokens")
_ABORTED = ("abort", "error")
SHOWN = 200


@dataclass(frozen=True)
class Choice:
    """One text of a response. `finish_reason` is None if the server gave none; if it is "error", `error` says why.

    `reasoning` is a thought that the server returned in a field of its own.
    """

    text: str
    finish_reason: FinishReason | None
    error: str | None = None
    reasoning: str = ""


@dataclass(frozen=True)
class Answer:
    """The texts in the server's order, and the tokens that it counted for all of them together. `reasoning_tokens` of these
    are thoughts; None if the server did not count them.

    `ignored_usage` says why the usage that the server reported is ignored.
    """

    choices: list[Choice]
    usage: Usage | None
    ignored_usage: str | None = None
    reasoning_tokens: int | None = None


class BadAnswer(Exception):
    """An unusable response; the request can be retried. `usage` holds the tokens that it still cost."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage


def read_answer(content: bytes, chat: bool, hide: Callable[[str], str]) -> Answer:
    """Parse the response to a request for completions or chat completions. `hide` removes the key. Raises BadAnswer."""
    body = read_object(content, hide)
    usage, ignored_usage = _usage(body.get("usage"))
    reasoning_tokens = _reasoning_tokens(body.get("usage"), usage)
    if body.get("error"):
        raise BadAnswer(f"the server answered with an error: {message_of(body)}", usage)
    rows = body.get("choices")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadAnswer("the answer has no list of choices", usage)
    rows = sorted(rows, key=lambda row: row["index"] if type(row.get("index")) is int else 0)
    choices = [choice for row in rows if (choice := _choice(row, chat, bool(reasoning_tokens))) is not None]
    if not choices:
        raise BadAnswer("the answer has no choice with a text", usage)
    return Answer(choices, usage, ignored_usage, reasoning_tokens)


def read_object(content: bytes, hide: Callable[[str], str]) -> dict[str, Any]:
    """Parse a response body as a JSON object, and remove the key from every text in it. Raises BadAnswer."""
    try:
        body = _without_key(json.loads(content.decode("utf-8"), parse_constant=_refuse), hide)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON ({str(error)[:SHOWN]})") from None
    if not isinstance(body, dict):
        raise BadAnswer("the answer is not a JSON object")
    return body


def error_message(content: bytes, hide: Callable[[str], str]) -> str:
    """Return the message in the body of an error, whether it is JSON or not. `hide` removes the key."""
    text = hide(content.decode("utf-8", "replace"))
    try:
        return message_of(_without_key(json.loads(text), hide))
    except (ValueError, RecursionError):
        return message_of(text)


def _without_key(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_without_key(item, hide) for item in value]
    return {hide(key): _without_key(item, hide) for key, item in value.items()} if isinstance(value, dict) else value


def message_of(body: Any) -> str:
    """Return the error message in a response body, in any of the common layouts."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return " ".join((body if isinstance(body, str) else json.dumps(body, default=str)).split())[: 2 * SHOWN]


def _choice(row: dict[str, Any], chat: bool, thought: bool) -> Choice | None:
    """Return a choice, or None if it has neither a text nor a thought. `thought` says that the server counted a thought."""
    message = row.get("message") if chat else row
    if not isinstance(message, dict):
        return None
    text, stated = message.get("content" if chat else "text"), row.get("finish_reason")
    refusal = message.get("refusal")
    if stated == "content_filter":
        return Choice("", "error", "the server's content filter ended the completion (content_filter)")
    if not text and isinstance(refusal, str) and refusal:
        return Choice("", "error", f"the model refused: {refusal[:SHOWN]}")
    reasoning = next((found for name in thought_tags().fields if (found := _text_of(message.get(name)))), "")
    if isinstance(text, list):  # parts, some of which are thoughts
        beside = [_text_of(part) for part in text if _is_thought(part)]
        reasoning = "\n\n".join(filter(None, [reasoning, *beside]))
        text = "".join(_text_of(part) for part in text if not _is_thought(part))
    if text is None and (stated in _CUT or reasoning or thought):  # the model can spend all tokens on thoughts
        text = ""
    if not isinstance(text, str):
        return None
    # JSON can hold lone surrogates.
    text, reasoning = (found.encode("utf-8", "replace").decode("utf-8") for found in (text, reasoning))
    return _finished_choice(text, stated, reasoning)


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in thought_tags().fields


def _text_of(value: Any, depth: int = 3) -> str:
    """Return the text of a value: a text, an object that holds one under a usual name, or a list of these."""
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, dict):
        return next(
            (text for name in ("text", *thought_tags().fields) if (text := _text_of(value.get(name), depth - 1))), ""
        )
    return "".join(_text_of(part, depth - 1) for part in value) if isinstance(value, list) else ""


def _finished_choice(text: str, stated: Any, reasoning: str) -> Choice | None:
    """Return a choice with the finish reason that the server stated, or None if the server aborted it."""
    if stated is None:
        return Choice(text, None, None, reasoning)
    if stated in _STOPPED or stated in _CUT:
        return Choice(text, "stop" if stated in _STOPPED else "length", None, reasoning)
    if stated in _ABORTED:
        return None
    return Choice("", "error", f"the server ended the completion: {str(stated)[:SHOWN]}")


def _usage(found: Any) -> tuple[Usage | None, str | None]:
    """Return the usage of a response, or None and the reason for ignoring the usage that the server reported."""
    if found is None:
        return None, None
    if not isinstance(found, dict):
        return None, f"its usage is {reprlib.repr(found)}, not an object"
    counts = list[int]()
    for name in ("prompt_tokens", "completion_tokens"):
        count = found.get(name)
        if type(count) is not int or not 0 <= count <= MOST_EXACT:
            return None, f"its usage counts {reprlib.repr(count)} {name}"
        counts.append(count)
    return Usage(counts[0], counts[1]), None


def _reasoning_tokens(found: Any, usage: Usage | None) -> int | None:
    """Return how many of the new tokens the server counts as thoughts; None if it does not count them."""
    if usage is None:
        return None
    for details in (found.get("completion_tokens_details"), found.get("output_tokens_details"), found):
        count = details.get("reasoning_tokens") if isinstance(details, dict) else None
        if type(count) is int and count >= 0:
            return min(count, usage.completion_tokens)
    return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
