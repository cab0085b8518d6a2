"""Choose the demonstrations of a request: seed tasks and some tasks that the model wrote.

The choice depends only on the seed, the request number and the pool.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.errors import UserError
from self_instruct.generation.pool import number_with_opening, shallow
from self_instruct.novelty.tokens import opening
from self_instruct.records import Record

_DRAWN = 8  # tasks of which --steer shows one


@dataclass(frozen=True)
class DemonstrationMix:
    """The number of demonstrations in a prompt: `total`, up to `synthetic` of them from the pool, none deeper than `max_depth`.

    The Self-Instruct paper shows six human and two machine-written tasks. The limit on depth is our own: it
    keeps the tasks from drifting away from the seeds. `steer` shows tasks whose opening is rare in the pool.
    """

    total: int
    synthetic: int
    max_depth: int
    steer: bool = False

    def choose(self, seed: int, request: int, seeds: Sequence[Record], pool: Sequence[Record]) -> list[Record]:
        """Return the demonstrations in the order shown; seeds take the positions that the pool cannot fill."""
        generator = random.Random(f"demonstrations:{seed}:{request}")
        eligible = shallow(pool, self.max_depth)
        machine = self._draw(generator, eligible, min(self.synthetic, self.total, len(eligible)), pool)
        human = self._draw(generator, list(seeds), min(self.total - len(machine), len(seeds)), pool)
        chosen = human + machine
        generator.shuffle(chosen)
        return chosen

    def _draw(
        self, generator: random.Random, records: Sequence[Record], number: int, pool: Sequence[Record]
    ) -> list[Record]:
        """Return this number of records at random; with `steer`, each is the one of several whose opening is rarest."""
        if not self.steer:
            return generator.sample(records, number)

        def crowd(record: Record) -> int:
            return number_with_opening(pool, opening(record.instruction))

        drawn = generator.sample(records, min(number * _DRAWN, len(records)))
        return [min(drawn[at::number], key=crowd) for at in range(number)]

    def check(self, seeds: Sequence[Record]) -> None:
        """Raise `UserError` if there are fewer seeds than demonstrations, or the numbers contradict each other."""
        if self.total > len(seeds):
            raise UserError(
                f"--num_prompt_instructions is {self.total}, but there are only {len(seeds)} seed tasks to show; "
                f"lower it to at most {len(seeds)} or add seeds"
            )
        if self.synthetic > self.total:
            raise UserError(
                f"--num_prompt_synthetic_instructions is {self.synthetic}, more than the {self.total} of "
                "--num_prompt_instructions, which counts human and machine demonstrations together; lower it"
            )
