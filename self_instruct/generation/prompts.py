"""Compose prompts: the header, as many demonstrations as fit the token budget, and an open block for the model to continue.

This module needs only a function that counts tokens. Engines apply chat templates. Two functions are for prompts in which the
model writes only the last field of a block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import CUT, Completion
from self_instruct.errors import UserError
from self_instruct.formats import SEPARATOR, RecordFormat
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.records import Prompt, Record
from self_instruct.runs.journal import Entry
from self_instruct.user_files import regular_bytes


@dataclass(frozen=True)
class PromptBudget:
    """How many tokens a prompt can have: `limit`, which prompt and completion share, less `max_new_tokens`.

    `source` says in words where the limit comes from, and `remedy` how to raise it. A `limit` of None is no limit. `option`
    sets `max_new_tokens`.
    """

    max_new_tokens: int
    limit: int | None = None
    source: str = ""
    remedy: str = ""
    option: str = "--max_new_tokens"

    @property
    def tokens(self) -> int:
        """Tokens left for the prompt; below 1 if `max_new_tokens` takes the whole limit."""
        return (10**9 if self.limit is None else self.limit) - self.max_new_tokens

    def check(self, needed: int, prompt: str) -> None:
        """Raise UserError if `prompt`, described in words, needs more tokens than are left."""
        if self.limit is None or needed <= self.tokens:
            return
        if needed >= self.limit:
            raise UserError(
                f"{self.source} {self.limit:,} tokens, but {prompt} has {needed:,}, so no value of {self.option} leaves "
                f"room for a completion. {self.remedy[0].upper()}{self.remedy[1:]}, or shorten the prompt."
            )
        room = f"{self.tokens:,} tokens for the prompt" if self.tokens > 0 else "no room for the prompt"
        raise UserError(
            f"{self.option} {self.max_new_tokens} leaves {room}: {self.source} {self.limit:,} tokens, and {prompt} has "
            f"{needed:,}. Use at most {self.limit - needed}, or {self.remedy}."
        )


@dataclass(frozen=True)
class PromptComposer:
    """Composes the prompt of any request.

    `count_tokens(text, opening)` returns the length of the prompt in tokens. `lead` is put between the demonstrations and the
    open block.
    """

    header: str
    format: RecordFormat
    mix: DemonstrationMix
    seed: int
    seeds: Sequence[Record]
    count_tokens: Callable[[str, str], int]
    budget: PromptBudget
    lead: str = ""

    def compose(self, request: int, pool: Sequence[Record], record: Record | None = None) -> Prompt:
        """Compose the prompt of a request: take demonstrations in the order drawn and leave out those that do not fit.

        If none fits, show the shortest seed, which `check` has tested. With a `record`, the open block shows all its fields but
        the last, and the prompt may be too long: test it with `fits`.
        """
        chosen: list[Record] = []
        for candidate in self.mix.choose(self.seed, request, self.seeds, pool):
            if self.fits(self._prompt(request, [*chosen, candidate], record)):
                chosen.append(candidate)
        return self._prompt(request, chosen or [self._shortest()], record)

    def fits(self, prompt: Prompt) -> bool:
        """Return whether a prompt is within the budget."""
        return self._length(prompt) <= self.budget.tokens

    def check(self) -> None:
        """Raise UserError if even a prompt with only the shortest seed exceeds the budget."""
        needed = self._length(self._prompt(0, [self._shortest()]))
        self.budget.check(needed, "a prompt with only the shortest seed task")

    def _shortest(self) -> Record:
        return min(self.seeds, key=lambda seed: (len(seed.task) + len(seed.output), seed.id))

    def _length(self, prompt: Prompt) -> int:
        return self.count_tokens(prompt.text, prompt.opening)

    def _prompt(self, request: int, demonstrations: Sequence[Record], record: Record | None = None) -> Prompt:
        blocks = [self.format.render(record, number) for number, record in enumerate(demonstrations, start=1)]
        number = len(blocks) + 1
        text = f"{self.header}\n{SEPARATOR}\n" + "".join(blocks) + (f"{self.lead}\n" if self.lead else "")
        return Prompt(request, text, self.format.open_block(number, record), number, tuple(demonstrations))


def stop_texts(format: RecordFormat, number: int) -> tuple[str, ...]:
    """Return the stop texts for the last field of block `number`: the separator, and the label of this or the next block."""
    again = tuple("\n" + format.open_block(at).rstrip() for at in (number, number + 1))
    return (f"\n{SEPARATOR}\n", *again)


def read_last(
    format: RecordFormat, number: int, record: Record, completion: Completion | Entry
) -> tuple[str | None, str | None]:
    """Parse the last field of the format from a completion; return it, or None and the reason."""
    if completion.finish_reason == "error":
        return None, "error"
    turn = thought_tags().read(completion.text, completion.reasoning)
    if reason := turn.without_answer(completion.reasoning_tokens):
        return None, reason
    block = format.parse(turn.answer, number, completion.finish_reason in CUT or turn.unclosed, record)[0]
    if block.reason:
        return None, block.reason
    field = block.fields[format.fields[-1]]
    return (field, None) if field else (None, f"empty_{format.fields[-1]}")


def read_header(path: Path) -> str:
    """Read the header of the prompt. Raises `UserError` if the file cannot be read or is empty."""
    try:
        header = regular_bytes(path).decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8, or not a valid path"
        raise UserError(f"--prompt_path {path}: cannot be read ({reason}); give a UTF-8 text file") from None
    if not header:
        raise UserError(f"--prompt_path {path}: is empty; write what the model is to do")
    return header
