"""An engine in this process that answers as a chat model would: with lists of tasks, user's turns and answers."""

import random
from typing import Any

from self_instruct.engines.base import Completion, EngineLost, Request, UserTurn
from tests.support.scripts import block, instruction


class ChatModel:
    """Answers each request by its text and seed alone, in a random order. It breaks down after `lives` completions."""

    model_revision = "chat-1"
    context_length: int | None = None
    capacity: int | None = None
    chats: bool | None = True

    def __init__(self, order: int = 0, lives: int = 10**9, orphans: bool = False) -> None:
        self._rng, self._lives, self._orphans = random.Random(order), lives, orphans
        self.pending: list[Request] = []
        self.asked: list[Request] = []
        self._interrupted = False

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        return len(f"{system or ''} {prompt}".split()) + len(opening.split())

    def user_turn(self, system: str | None = None) -> UserTurn:
        return UserTurn(f"<system>{system or ''}</system><user>", "</user>")

    def submit(self, requests: Any) -> None:
        self.pending.extend(requests)
        self.asked.extend(requests)

    def poll(self) -> list[Completion]:
        if self._interrupted or not self.pending:
            return []
        if self._lives <= 0:
            raise EngineLost("it died")
        chosen = self._rng.sample(self.pending, self._rng.randint(1, len(self.pending)))[: self._lives]
        self._lives -= len(chosen)
        for request in chosen:
            self.pending.remove(request)
        return [self._complete(request) for request in chosen]

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        self.pending.clear()

    def _complete(self, request: Request) -> Completion:
        text = self._text(request)
        tokens = self.prompt_tokens(request.prompt, request.opening, request.system)
        return Completion(request.index, text, "stop", tokens, len(text.split()))

    def _text(self, request: Request) -> str:
        rng = random.Random(request.seed)
        tasks = [instruction(rng) for _ in range(3)]
        if request.raw:
            return tasks[0] if rng.random() < 0.9 else ""
        if request.opening:
            blocks = [block(5, task, f"answer {task[:9]}") for task in tasks]
            if self._orphans:
                blocks[1] = f"6. Instruction:\n{tasks[1]}\n###\n"
            return "".join(blocks).split("\n", 1)[1]
        if "as a numbered list" in request.prompt:
            return "Here they are:\n\n" + "\n".join(f"{at}. {task}" for at, task in enumerate(tasks, start=1))
        return f"The answer to {request.prompt!r}." if rng.random() < 0.9 else " "
