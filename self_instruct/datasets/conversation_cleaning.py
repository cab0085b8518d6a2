"""Clean one conversation of alternating questions and answers, and record why a turn or the whole conversation is dropped.

Every input turn ends up in `CleanedConversation.kept` or in `CleanedConversation.dropped`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from self_instruct.datasets.example import ASSISTANT, USER, Turn
from self_instruct.datasets.markup import NotConverted, is_page, is_rendering, speaks_of_html
from self_instruct.datasets.turn_cleaning import cleaned, is_rate_limit
from self_instruct.rules.fences import prose_of

SHORTEST = 16  # characters of a conversation, as in FastChat
_NUMBERED = re.compile(r"^(?P<indent>[ \t]*)(?P<number>\d{1,3})\.[ \t]+\S", re.MULTILINE)
_SHOWN = 200

Foreign = Callable[[str], str | None]
"""A function that returns the language of a text if it is unwanted, else None."""


@dataclass(frozen=True)
class NumberedTurn:
    """A turn and its position in the conversation, from 1."""

    number: int
    turn: Turn

    @property
    def text(self) -> str:
        """The content of the turn."""
        return str(self.turn["content"])


@dataclass(frozen=True)
class DroppedTurn:
    """A dropped turn, unchanged, with the reason and a detail."""

    number: int
    turn: Turn
    reason: str
    detail: str


@dataclass
class CleanedConversation:
    """The turns of a conversation that were kept, in pairs of question and answer, and those that were dropped. If no pair was
    kept, `reason` and `detail` say why.
    """

    turns: Sequence[Turn]
    kept: list[NumberedTurn]
    dropped: list[DroppedTurn] = field(default_factory=list)
    reason: str = ""
    detail: str = ""

    def drop(self, gone: Sequence[NumberedTurn], reason: str, detail: str) -> None:
        """Drop turns, recording each as it was before cleaning."""
        self.dropped += [DroppedTurn(one.number, self.turns[one.number - 1], reason, detail) for one in gone]

    def refuse(self, reason: str, detail: str) -> None:
        """Drop all remaining turns."""
        self.drop(self.kept, reason, detail)
        self.kept, self.reason, self.detail = [], reason, detail


@dataclass(frozen=True)
class Cleaning:
    """Requirements for a conversation: words that must not occur, whether to convert HTML, and unwanted languages."""

    mentions: Sequence[str] = ()
    html: bool = True
    foreign: Foreign | None = None


def clean(turns: Sequence[Turn], cleaning: Cleaning) -> CleanedConversation:
    """Return the kept pairs of a conversation with cleaned texts, and each dropped turn with its reason."""
    conversation = CleanedConversation(
        turns, [NumberedTurn(number, turn) for number, turn in enumerate(turns, start=1)]
    )
    _trim(conversation)
    for step in (_check_raw_texts, _clean_texts, _check_cleaned_texts):
        if conversation.reason:
            break
        step(conversation, cleaning)
    return conversation


def wrong_list(text: str) -> str | None:
    """Return the second "1." of a numbered list that restarts before reaching "2."; None if there is none."""
    last: dict[str, int] = {}
    for found in _NUMBERED.finditer(prose_of(text)):
        indent, number = found["indent"], int(found["number"])
        if number == 1 and last.get(indent) == 1:
            return found.group()
        last = {depth: at for depth, at in last.items() if len(depth) <= len(indent)} | {indent: number}
    return None


def repeated_digits(text: str, number: int) -> str | None:
    """Return the first run of `number` equal digits, or None."""
    found = re.search(rf"(\d)\1{{{number - 1}}}", text)
    return found.group() if found else None


def _trim(conversation: CleanedConversation) -> None:
    """Drop turns before the first question, and unanswered questions at the end."""
    kept = conversation.kept
    first = next((at for at, one in enumerate(kept) if one.turn["role"] == USER), len(kept))
    conversation.drop(kept[:first], "before_question", "comes before the first question")
    end = len(kept)
    while end > first and kept[end - 1].turn["role"] == USER:
        end -= 1
    conversation.drop(kept[end:], "unanswered", "has no answer")
    conversation.kept = kept[first:end]
    if not conversation.kept:
        conversation.reason, conversation.detail = "no_pair", "holds no question with an answer"


def _check_raw_texts(conversation: CleanedConversation, cleaning: Cleaning) -> None:
    kept = conversation.kept
    wrong = next((one for at, one in enumerate(kept) if one.turn["role"] != (USER, ASSISTANT)[at % 2]), None)
    if wrong is not None or len(kept) % 2:
        at = wrong.number if wrong else kept[-1].number
        conversation.refuse("roles", f"user and assistant do not alternate at turn {at}")
        return
    for one in kept:
        word = next((word for word in cleaning.mentions if word.casefold() in one.text.casefold()), None)
        if word is not None:
            conversation.refuse("mention", f"turn {one.number} says {word}")
            return


def _clean_texts(conversation: CleanedConversation, cleaning: Cleaning) -> None:
    """Clean each text; end the conversation before the first pair whose text is then empty or unprintable."""
    are_html = _html_turns(conversation.kept) if cleaning.html else set[int]()
    before, done = conversation.kept, list[NumberedTurn]()
    for one in before:
        answer = one.turn["role"] == ASSISTANT
        try:
            text = cleaned(one.text, html=one.number in are_html, answer=answer)
        except NotConverted as error:
            conversation.refuse("html", f"turn {one.number}: {error}")
            return
        if answer and is_rate_limit(text):
            conversation.refuse("rate_limit", f"turn {one.number}: {text[:_SHOWN]}")
            return
        if not text or not text[0].isprintable():
            reason = "unprintable" if text else "empty"
            whole = len(done) - len(done) % 2
            conversation.drop(before[whole : len(done)], "unanswered", f"its answer is {reason}")
            conversation.drop([one], reason, "begins with an unprintable character" if text else "is empty")
            conversation.drop(
                before[len(done) + 1 :], "after_cut", f"the conversation was cut before turn {one.number}"
            )
            conversation.kept = done[:whole]
            break
        done.append(NumberedTurn(one.number, {**one.turn, "content": text}))
    else:
        conversation.kept = done
    if not conversation.kept:
        conversation.reason, conversation.detail = "no_pair", "holds no question with an answer"


def _check_cleaned_texts(conversation: CleanedConversation, cleaning: Cleaning) -> None:
    length = sum(len(one.text) for one in conversation.kept)
    if length < SHORTEST:
        conversation.refuse("too_short", f"has {length} characters")
    elif cleaning.foreign is not None:
        language = cleaning.foreign("\n".join(one.text[:1000] for one in conversation.kept))
        if language is not None:
            conversation.refuse("language", language)


def _html_turns(kept: Sequence[NumberedTurn]) -> set[int]:
    """Return the numbers of the turns that are HTML saved from a chat page.

    If the page's classes are gone, answers count as HTML only if all of them look like rendered Markdown and no question
    mentions HTML. A question without these classes is text that the user typed.
    """
    pages = {one.number for one in kept if is_page(one.text)}
    answers = [one for one in kept if one.turn["role"] == ASSISTANT]
    rendered = {one.number for one in answers if is_rendering(one.text)}
    if len(rendered | pages) < len(answers) or any(
        speaks_of_html(one.text) for one in kept if one.turn["role"] == USER and one.number not in pages
    ):
        rendered &= pages
    return pages | rendered
