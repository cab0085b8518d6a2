"""Who takes part in a launch: pytest tests/test_world.py"""

import pytest

from self_instruct.distributed.world import World, current_world
from self_instruct.errors import UserError


@pytest.mark.parametrize(
    ("rank", "size", "world"), [(None, None, World(0, 1)), ("0", "1", World(0, 1)), ("3", "4", World(3, 4))]
)
def test_the_world_is_what_the_launcher_says(monkeypatch, rank, size, world):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert current_world() == world and world.is_main == (world.rank == 0)


@pytest.mark.parametrize(
    ("rank", "size"), [(None, "2"), ("0", None), ("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0"), ("", "")]
)
def test_a_world_that_cannot_be_is_refused(monkeypatch, rank, size):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="no world"):
        current_world()
