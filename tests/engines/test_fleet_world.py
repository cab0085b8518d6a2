"""The processes of a launch, as the launcher describes them."""

import pytest

from self_instruct.engines.fleet.world import World, current_world
from self_instruct.errors import UserError


@pytest.mark.parametrize(
    ("rank", "size", "world"),
    [(None, None, World(0, 1, on_one_machine=True)), ("0", "1", World(0, 1)), ("3", "4", World(3, 4))],
)
def test_world_is_read_from_the_launchers_variables(monkeypatch, rank, size, world):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert current_world() == world and world.is_main == (world.rank == 0)


@pytest.mark.parametrize(
    ("rank", "size"), [(None, "2"), ("0", None), ("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0"), ("", "")]
)
def test_inconsistent_variables_are_refused(monkeypatch, rank, size):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"RANK and WORLD_SIZE are inconsistent \(RANK="):
        current_world()
