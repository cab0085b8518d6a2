"""Choose the demonstrations of a request: seed tasks and some tasks that the model wrote.

The choice depends only on the seed, the request number and the pool.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.errors import UserError
from self_instruct.generation.pool import shallow
from self_instruct.records import Record


@dataclass(frozen=True)
class DemonstrationMix:
    """The number of demonstrations in a prompt: `total`, up to `synthetic` of them from the pool, none deeper than `max_depth`.

    The Self-Instruct paper shows six human and two machine-written tasks. The limit on depth is our own: it
    keeps the tasks from drifting away from the seeds.
    """

    total: int
    synthetic: int
    max_depth: int

    def choose(self, seed: int, request: int, seeds: Sequence[Record], pool: Sequence[Record]) -> list[Record]:
        """Return the demonstrations in the order shown; seeds take the positions that the pool cannot fill."""
        generator = random.Random(f"demonstrations:{seed}:{request}")
        eligible = shallow(pool, self.max_depth)
        machine = generator.sample(eligible, min(self.synthetic, self.total, len(eligible)))
        human = generator.sample(list(seeds), min(self.total - len(machine), len(seeds)))
        chosen = human + machine
        generator.shuffle(chosen)
        return chosen

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
