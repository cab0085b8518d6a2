"""An engine that replays completions from a file: for tests, dry runs, and texts that were generated elsewhere.

Line i of the file (from 0) answers request i, or the request named in its field `request`. So the journal of a run can be
replayed, including its field `reasoning`. Requests may come in any order. Tokens are words.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import CUT, Completion, FinishReason, Hardware, Request, UserTurn, cut_at_stop
from self_instruct.errors import UserError
from self_instruct.user_files import read_objects

END_OF_TURN = "<|im_end|>"


class ScriptedEngine:
    """Replays completions. `texts` maps a request to its completion and to whether the length limit cut it off; `thoughts`
    maps a request to its `reasoning`.
    """

    context_length: int | None = None
    rows = 1
    chats: bool | None = None
    hardware = Hardware("script", 0, 0, 0)
    method = ""

    def __init__(
        self, texts: Mapping[int, tuple[str, bool]], rank: int = 0, thoughts: Mapping[int, str] | None = None
    ) -> None:
        if not isinstance(texts, Mapping):
            raise UserError(f"texts is of type {type(texts).__name__}; give a dict {{request: (text, was cut off)}}")
        self._texts, self._rank, self._thoughts = dict(sorted(texts.items())), rank, dict(thoughts or {})
        self._pending: deque[Request] = deque()
        self._interrupted = False
        self.capacity: int | None = max(self._texts, default=-1) + 1
        content = repr(self._texts) + (repr(sorted(self._thoughts.items())) if self._thoughts else "")
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        self.model_revision = f"script-{digest[:12]}"

    @classmethod
    def from_file(cls, path: Path, rank: int = 0) -> "ScriptedEngine":
        """Read JSON lines `{"text": ..., "finish_reason": "stop" | "length"}`. Raises UserError if one has no text."""
        texts, thoughts = dict[int, tuple[str, bool]](), dict[int, str]()
        for place, row in read_objects(path, "--script_path"):
            if not isinstance(row.get("text"), str):
                raise UserError(f'{place}: field "text" must hold the completion')
            request = row.get("request", len(texts))
            if row.get("finish_reason") == "error":
                continue
            if not isinstance(request, int) or request < 0 or request in texts:
                raise UserError(
                    f'{place}: field "request" is {request!r}, but must be a number that no other line has'
                )
            texts[request] = (row["text"], row.get("finish_reason") in CUT)
            if isinstance(row.get("reasoning"), str):
                thoughts[request] = row["reasoning"]
        return cls(texts, rank, thoughts)

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of words in the prompt."""
        return len(f"{system or ''} {prompt}".split()) + len(opening.split())

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return a placeholder: the script is replayed whatever the prompt is."""
        return UserTurn("", END_OF_TURN)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests."""
        self._pending.extend(requests)

    def poll(self) -> list[Completion]:
        """Return the completion of the oldest pending request."""
        return [self._complete(self._pending.popleft())] if self._pending and not self._interrupted else []

    def interrupt(self) -> None:
        """Return no more completions."""
        self._interrupted = True

    def close(self) -> None:
        """Drop pending requests."""
        self._pending.clear()

    def _complete(self, request: Request) -> Completion:
        prompt_tokens = self.prompt_tokens(request.prompt, request.opening, request.system)
        if request.index not in self._texts:
            missing = f"the script has no completion for request {request.index}"
            return Completion(request.index, "", "error", prompt_tokens, 0, self._rank, error=missing)
        text, truncated = self._texts[request.index]
        text, stopped = cut_at_stop(text, request.stop)
        reason: FinishReason = "length" if truncated and not stopped else "stop"
        beside = self._thoughts.get(request.index)
        words = len(thought_tags().split(text).thought.split()) + len((beside or "").split())
        return Completion(
            request.index, text, reason, prompt_tokens, len(text.split()) + len((beside or "").split()), self._rank,
            reasoning=beside, reasoning_tokens=words or None,
        )  # fmt: skip
