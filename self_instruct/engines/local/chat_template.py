"""Render prompts with a tokenizer's chat template, and find where a user's turn begins and ends in it.

A template is a program, so this module learns its properties by rendering known messages: whether it shows the whole prompt,
whether it has a system role, which text surrounds the user's text, and whether the model thinks before it answers. Templates
get a fixed date, because today's date would change the prompts of a run from one day to the next.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import UserTurn
from self_instruct.errors import UserError

PINNED_DATE = datetime(2026, 1, 1)
"""The date that every template prints."""
_PROBE = "Rule One.\n\n1. Task: add <b> & \"c\".\n1. Answer: {{ b + 'c' }}"
_SYSTEM = "The system message of a probe."
_ANSWER = "The answer of a probe."


class ChatTemplate:
    """The chat template of a tokenizer; `arguments` are variables for the template, by default those that turn thinking off.

    `opened_thought` is the text with which the template opens a thought at the start of every answer, or empty.
    `closed_thought` ends this thought; an answer that must begin with a given text comes after it.

    Raises UserError if it cannot render a user message, or does not show all of it.
    """

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self.arguments = dict(arguments or {})
        self.prints_date = "strftime_now" in str(tokenizer.chat_template)
        try:
            shown = self._apply([{"role": "user", "content": _PROBE}])
        except Exception as error:  # templates are programs and can raise anything
            raise UserError(
                f"the chat template of the model's tokenizer cannot render a user message ({type(error).__name__}: {error}); "
                "correct it, or use --chat_template never"
            ) from error
        if _PROBE not in shown:
            raise UserError(
                "the chat template of the model's tokenizer does not show the whole prompt: a user message that holds plain "
                "text is missing from it or changed; correct the template, or use --chat_template never"
            )
        if arguments is None:
            self.arguments = self._thinking_off(shown)
            shown = self._apply([{"role": "user", "content": _PROBE}])
        self._system_role = self._has_system_role()
        self.opened_thought, self.closed_thought = self._find_thought(shown)
        self.sha256 = hashlib.sha256((shown + self.render(_PROBE, _SYSTEM)).encode("utf-8", "replace")).hexdigest()

    def render(self, prompt: str, system: str | None = None) -> str:
        """Return a chat up to the model's answer: the system message if there is one, and the prompt as the user's message.

        A template without a system role gets the system message at the beginning of the user's message.
        """
        return self._apply(self._messages(prompt.rstrip(), system))

    def exchange(self, prompt: str, answer: str) -> str:
        """Return a whole chat: the prompt as the user's message, and the answer."""
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return self._apply(messages, add_generation_prompt=False)

    def answer_turn(self) -> str:
        """Return the text with which the template opens an answer, after any thought; empty if it has none."""
        asked = [{"role": "user", "content": _PROBE}]
        without, opened = self._apply(asked, add_generation_prompt=False), self._apply(asked)
        return (opened[len(without) :] if opened.startswith(without) else "") + self.closed_thought

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return the template's text around the user's text. Raises UserError if nothing marks the end of the user's turn."""
        before, found, after = self.render(_PROBE, system).partition(_PROBE)
        stop = self._first_token(after.strip())
        if not found or not stop:
            raise UserError(
                "--recipe magpie does not suit the model's chat template: no text in it marks the end of the user's message, "
                "so the user's turn cannot be cut; use --recipe chat"
            )
        return UserTurn(before, stop)

    def _thinking_off(self, shown: str) -> dict[str, Any]:
        """Return the variables that turn thinking off: the template uses them, and they change `shown`, the rendered probe."""
        found: dict[str, Any] = {}
        for name, value in thought_tags().switches.items():
            if not re.search(rf"\b{re.escape(name)}\b", str(self._tokenizer.chat_template)):
                continue
            try:
                without = self._apply([{"role": "user", "content": _PROBE}], **{name: value})
            except Exception:  # the template uses the variable for something else
                continue
            if without != shown and _PROBE in without:
                found[name] = value
        return found

    def _find_thought(self, shown: str) -> tuple[str, str]:
        """Return the thought that the template opens before an answer, and the text that ends it or that is an empty thought.

        `shown` is the rendered probe. The answer in an earlier turn shows how the template renders one without a thought.
        """
        tags, after = thought_tags(), shown.rpartition(_PROBE)[2]
        found = tags.split(after)
        opened = after[len(found.answer) :] if found.unclosed else ""
        try:
            answered = self._apply(
                [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _ANSWER}],
                add_generation_prompt=False,
            )
        except Exception:  # templates are programs and can raise anything
            answered = ""
        before = answered.partition(_ANSWER)[0]
        if before != answered and before.startswith(shown) and tags.marks_in(before[len(shown) :]):
            return opened, before[len(shown) :]
        end = "" if after.endswith("\n") else "\n"
        return opened, f"{end}{tags.closing_of(opened)}\n\n" if opened else ""

    def _messages(self, prompt: str, system: str | None) -> list[dict[str, str]]:
        if system and not self._system_role:
            return [{"role": "user", "content": f"{system}\n\n{prompt}"}]
        first = [{"role": "system", "content": system}] if system else []
        return [*first, {"role": "user", "content": prompt}]

    def _has_system_role(self) -> bool:
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _PROBE}]
        try:
            shown = self._apply(messages)
        except Exception:  # a template without a system role raises an error of its own
            return False
        return _SYSTEM in shown and _PROBE in shown

    def _first_token(self, text: str) -> str:
        """Return the special token at the beginning of a text, or else its first line."""
        added = (str(token) for token in self._tokenizer.added_tokens_decoder.values())
        special = max((token for token in added if token and text.startswith(token)), key=len, default="")
        return special or text.split("\n", maxsplit=1)[0].strip()

    def _apply(self, messages: list[dict[str, str]], **more: Any) -> str:
        given = {"strftime_now": PINNED_DATE.strftime, **self.arguments, "add_generation_prompt": True, **more}
        return self._tokenizer.apply_chat_template(messages, tokenize=False, **given)
