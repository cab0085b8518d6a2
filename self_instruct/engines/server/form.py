"""What a server is sent for a request, as a completion or as a chat, and what it is sent no more once it has refused it.

What only helps (a seed, several choices at once, stop texts) is left out where a server does not take it; what was asked
for is not.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from self_instruct.engines.base import Request, Sampling

MOST_STOPS = 4
_PREAMBLE = 500
_OPTIONAL = ("seed", "n", "stop")
_ASK = "Go on with the list. Begin your answer with exactly this line:"


class Form:
    """Renders requests. `chat` says which endpoint they go to; `prefix` whether a chat's answer is begun for the model, which
    otherwise is asked in words to begin so. `more` are fields of every request.
    """

    def __init__(
        self, model: str, chat: bool, prefix: bool, sampling: Sampling, more: Mapping[str, Any], own: Mapping[str, Any]
    ) -> None:
        self.chat, self._prefix = chat, prefix
        self._model, self._sampling, self._more, self._own = model, sampling, dict(more), dict(own)
        self._withheld: set[str] = set()
        self._length_name = "max_tokens"

    @property
    def name(self) -> str:
        """How the model is asked: what it reads differs from one to another."""
        return ("chat-prefix" if self._prefix else "chat-words") if self.chat else "completions"

    def takes_several(self) -> bool:
        """Whether one request may ask for several texts."""
        return "n" not in self._withheld

    def withhold(self, name: str) -> bool:
        """Sends a field no more; whether it was sent until now."""
        fresh = name not in self._withheld
        self._withheld.add(name)
        return fresh

    def fields(self, requests: Sequence[Request]) -> dict[str, Any]:
        """The body for requests that share prompt and sampling: one choice for each."""
        first = requests[0]
        sampling = first.sampling or self._sampling
        body: dict[str, Any] = {"model": self._model, **self.prompt(first.prompt, first.opening)}
        body[self._length_name] = sampling.max_new_tokens
        body["temperature"] = sampling.temperature
        if sampling.temperature and sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.temperature and sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.temperature and sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.repetition_penalty != 1.0:
            body["repetition_penalty"] = sampling.repetition_penalty
        body.update(self._more)
        optional: dict[str, Any] = {"seed": _number(first.seed)}
        if first.stop:
            optional["stop"] = list(first.stop[:MOST_STOPS])
        if len(requests) > 1:
            optional["n"] = len(requests)
        body.update((name, value) for name, value in optional.items() if name not in self._withheld)
        return {**body, **self._own}

    def prompt(self, prompt: str, opening: str) -> dict[str, Any]:
        """What the model reads: as a model in this process would read it, as far as the server lets it."""
        if not self.chat:
            return {"prompt": prompt + opening}
        if not self._prefix:
            asked = f"{prompt.rstrip()}\n\n{_ASK}\n{opening.rstrip()}"
            return {"messages": [{"role": "user", "content": asked}]}
        return {
            "messages": [{"role": "user", "content": prompt.rstrip()}, {"role": "assistant", "content": opening}],
            "continue_final_message": True,
            "add_generation_prompt": False,
        }

    def read(self, text: str, opening: str) -> str:
        """What follows the opening in an answer, which in a chat may repeat it, after a few words or in a code fence."""
        if not self.chat or not opening.strip():
            return text
        begun = re.compile(r"^[ \t*#]*" + re.escape(opening.strip()) + r"\**[ \t]*\n?", re.MULTILINE)
        found = begun.search(text, 0, _PREAMBLE + len(opening))
        if found is None:
            return text
        return text[found.end() :]

    def forgo(self, refusal: str, sent: Mapping[str, Any]) -> bool:
        """Whether the request may be sent again without what a refusal names. What was asked for is never left out."""
        if "max_completion_tokens" in refusal and self._length_name in sent and self.chat:
            self._length_name = "max_completion_tokens"
            return "max_tokens" in sent
        # A letter alone is a word of its own in no message, unless it is quoted.
        named = [name for name in _OPTIONAL if name in sent and re.search(rf"['\"`]{name}['\"`]", refusal)]
        for name in named:
            self.withhold(name)
        return bool(named)


def _number(seed: str) -> int:
    """The seed as servers take it: 31 bits."""
    return int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:4]) >> 1
