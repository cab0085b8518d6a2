"""Build the request body for a server, for its completions or its chat endpoint, and adapt it to fields the server refuses.

Optional fields (a seed, several choices at once, stop texts, variables of the chat template) are dropped if the server refuses
them. Sampling options that the user set are never dropped.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.server.grammar import gbnf

MOST_STOPS = 4
THOUGHT_STOP = "stop, which could end a thought"
"""Withheld in place of "stop" for a thinking model: raw requests, in which it writes no thought, keep their stop texts."""
_PREAMBLE = 500
_TEMPLATE = "chat_template_kwargs"
_OPTIONAL = ("seed", "n", "stop")
PATTERN_FIELDS: Mapping[str, Callable[[str], Any]] = {
    "structured_outputs": lambda pattern: {"regex": pattern},  # vLLM
    "regex": lambda pattern: pattern,  # SGLang
    "grammar": gbnf,  # llama.cpp
}
"""The fields in which servers take the pattern of an answer, and their content."""
SCHEMA_FIELD = "response_format"
"""The field in which OpenAI and others take a JSON schema."""
_ASK = "Go on with the list. Begin your answer with exactly this line:"
_log = logging.getLogger(__name__)


class Form:
    """Renders requests for one endpoint: chat or completions.

    In a chat, the model has to continue the opening. With `prefix` the opening is sent as the beginning of the answer;
    otherwise the message asks for it in words. `own` are fields of every request; they override all others.
    `template` has the variables of the server's chat template. A raw request always goes to the completions endpoint; `text_of`
    returns the text that is sent there. `pattern_field` is the field for patterns or schemas, once the server has shown that it
    enforces it.
    """

    def __init__(
        self,
        model: str,
        chat: bool,
        prefix: bool,
        sampling: Sampling,
        own: Mapping[str, Any],
        template: Mapping[str, Any] | None = None,
        text_of: Callable[[Request], str] = lambda request: request.prompt + request.opening,
    ) -> None:
        self.chat, self._prefix, self._text_of = chat, prefix, text_of
        self._model, self._sampling, self._own = model, sampling, dict(own)
        self.template = dict(template or {}) if chat else {}
        self._withheld: set[str] = set()
        self._length_name = "max_tokens"
        self.pattern_field: str | None = None

    @property
    def name(self) -> str:
        """The way prompts are sent, which changes what the model reads."""
        return ("chat-prefix" if self._prefix else "chat-words") if self.chat else "completions"

    def is_chat(self, request: Request) -> bool:
        """Return whether a request goes to the chat endpoint."""
        return self.chat and not request.raw

    def takes_several(self) -> bool:
        """Return whether one request can ask for several texts."""
        return "n" not in self._withheld

    def withhold(self, name: str) -> bool:
        """Stop sending a field. Return whether it was sent before."""
        fresh = name not in self._withheld
        self._withheld.add(name)
        return fresh

    def fields(self, requests: Sequence[Request]) -> dict[str, Any]:
        """Return the body for requests that share prompt and sampling, with one choice for each."""
        first, chat = requests[0], self.is_chat(requests[0])
        sampling = first.sampling or self._sampling
        shown = (
            self.prompt(first.prompt, first.opening, first.system, first.pattern)
            if chat
            else {"prompt": self._text_of(first)}
        )
        body: dict[str, Any] = {"model": self._model, **shown}
        body[self._length_name if chat else "max_tokens"] = sampling.max_new_tokens
        body["temperature"] = sampling.temperature
        if sampling.temperature and sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.temperature and sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.temperature and sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        penalties = {"presence_penalty": sampling.presence_penalty, "frequency_penalty": sampling.frequency_penalty}
        body.update((name, value) for name, value in penalties.items() if value)
        optional: dict[str, Any] = {"seed": _number(first.seed)}
        if first.stop and (first.raw or THOUGHT_STOP not in self._withheld):
            optional["stop"] = list(first.stop[:MOST_STOPS])
        if len(requests) > 1:
            optional["n"] = len(requests)
        if self.template and chat:
            optional[_TEMPLATE] = self.template
        body.update((name, value) for name, value in optional.items() if name not in self._withheld)
        return {**body, **self.constraint(first, self.pattern_field), **self._own}

    def constraint(self, request: Request, field: str | None) -> dict[str, Any]:
        """Return the field that makes a server keep to the pattern or schema of a request; empty if it has none."""
        if field == SCHEMA_FIELD and request.schema:
            schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
            return {SCHEMA_FIELD: {"type": "json_schema", "json_schema": schema}}
        if field is None or field == SCHEMA_FIELD or not request.pattern:
            return {}
        return {field: PATTERN_FIELDS[field](request.pattern)}

    def prompt(
        self, prompt: str, opening: str, system: str | None = None, pattern: str | None = None
    ) -> dict[str, Any]:
        """Return the messages of a chat request, as close to what a local model reads as the server allows."""
        asked = prompt.rstrip()
        if opening.strip() and not self._prefix:
            # A pattern does not allow the answer to repeat the opening.
            asked = "\n".join([asked, "", *([] if pattern else [_ASK]), opening.rstrip()])
        first = [{"role": "system", "content": system}] if system else []
        messages = [*first, {"role": "user", "content": asked}]
        if not opening.strip() or not self._prefix:
            return {"messages": messages}
        return {
            "messages": [*messages, {"role": "assistant", "content": opening}],
            "continue_final_message": True,
            "add_generation_prompt": False,
        }

    def read(self, text: str, opening: str) -> str:
        """Return an answer without the opening and without the text before it, but with its thought. A chat model may repeat
        the opening, after a few words or in a code fence.
        """
        if not self.chat or not opening.strip():
            return text
        begun = re.compile(r"^[ \t*#]*" + re.escape(opening.strip()) + r"\**[ \t]*\n?", re.MULTILINE)
        begins = thought_tags().split(text).begins
        found = begun.search(text, begins, begins + _PREAMBLE + len(opening))
        if found is None:
            return text
        return text[:begins] + text[found.end() :]

    def drop_refused_fields(self, refusal: str, sent: Mapping[str, Any]) -> bool:
        """Drop the optional fields that a refusal names. Return whether the request should be sent again."""
        if "max_completion_tokens" in refusal and self._length_name in sent and self.chat:
            self._length_name = "max_completion_tokens"
            return "max_tokens" in sent
        # Match one-letter field names such as `n` only when quoted.
        named = [name for name in _OPTIONAL if name in sent and re.search(rf"['\"`]{name}['\"`]", refusal)]
        if _TEMPLATE in sent and _TEMPLATE in refusal and _TEMPLATE not in self._own:
            named.append(_TEMPLATE)
            _log.warning(
                "The server does not take --chat_template_kwargs, so they cannot turn thinking off: %s", refusal
            )
        for name in named:
            self.withhold(name)
        return bool(named)


def _number(seed: str) -> int:
    """Return the seed as 31 bits, the range that servers accept."""
    return int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:4]) >> 1
