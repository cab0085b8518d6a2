"""Compose prompts: the header, as many demonstrations as fit the token budget, and an open block for the model to continue.

The model is only a function that counts tokens. Engines apply chat templates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from self_instruct.errors import UserError
from self_instruct.formats import SEPARATOR, RecordFormat
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.records import Prompt, Record


@dataclass(frozen=True)
class PromptComposer:
    """Composes the prompt of any request.

    `count_tokens(text, opening)` returns the length of the prompt in tokens; `budget` is the largest length that leaves room
    for the new tokens. `lead` is put between the demonstrations and the open block.
    """

    header: str
    format: RecordFormat
    mix: DemonstrationMix
    seed: int
    seeds: Sequence[Record]
    count_tokens: Callable[[str, str], int]
    budget: int
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
        return self._length(prompt) <= self.budget

    def check(self) -> None:
        """Raise `UserError` if the shortest seed does not fit the budget."""
        if self.budget < 1:
            raise UserError(
                f"--max_new_tokens leaves no token for a prompt within the model's context or --max_length, it is "
                f"{1 - self.budget} too high at least; lower it, raise --max_length, or use a model with a longer context"
            )
        needed = self._length(self._prompt(0, [self._shortest()]))
        if needed > self.budget:
            raise UserError(
                f"a prompt with the shortest seed task needs {needed} tokens, but only {self.budget} are left beside "
                "--max_new_tokens; lower --max_new_tokens, raise --max_length, or use a model with a longer context"
            )

    def _shortest(self) -> Record:
        return min(self.seeds, key=lambda seed: (len(seed.task) + len(seed.output), seed.id))

    def _length(self, prompt: Prompt) -> int:
        return self.count_tokens(prompt.text, prompt.opening)

    def _prompt(self, request: int, demonstrations: Sequence[Record], record: Record | None = None) -> Prompt:
        blocks = [self.format.render(record, number) for number, record in enumerate(demonstrations, start=1)]
        number = len(blocks) + 1
        text = f"{self.header}\n{SEPARATOR}\n" + "".join(blocks) + (f"{self.lead}\n" if self.lead else "")
        return Prompt(request, text, self.format.open_block(number, record), number, tuple(demonstrations))
