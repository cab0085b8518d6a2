"""The processes of a launch, as the environment variables of the launcher describe them."""

import os
from dataclasses import dataclass

from self_instruct.errors import UserError


@dataclass(frozen=True)
class World:
    """This process and the number of all processes of the launch."""

    rank: int
    size: int
    on_one_machine: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this rank composes, decides and writes."""
        return self.rank == 0


def current_world() -> World:
    """Read RANK, WORLD_SIZE and LOCAL_WORLD_SIZE; without the first two, this process is the only one.

    Raises UserError if they contradict each other: two processes that each ran as the only one would write the same files.
    """
    names = ("RANK", "WORLD_SIZE")
    values = [os.environ.get(name) for name in names]
    if values == [None, None]:
        return World(0, 1, on_one_machine=True)
    try:
        rank, size = (int(value or "") for value in values)
    except ValueError:
        rank, size = -1, 0
    if not 0 <= rank < size:
        given = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise UserError(
            f"RANK and WORLD_SIZE are inconsistent ({given}); start with accelerate launch or torchrun, or unset both"
        )
    return World(rank, size, os.environ.get("LOCAL_WORLD_SIZE") == str(size))
