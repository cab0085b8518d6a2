"""Choosing demonstrations: the mix of human and machine tasks, the limit of depth, and reproducible draws."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.base import Request
from self_instruct.errors import UserError
from self_instruct.generation.config import Config
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.pool import RecordPool
from self_instruct.generation.public import generate
from self_instruct.novelty.diversity import OPENINGS, by_words
from self_instruct.records import Record
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT
from tests.support.scripts import NOUNS, block

SEEDS = [Record(f"s{at}", f"seed task {at}", "", "x") for at in range(12)]


def pool_of(*depths: int) -> list[Record]:
    return [Record(f"m{at}", f"machine task {at}", "", "x", depth) for at, depth in enumerate(depths)]


def count_generated(chosen: list[Record]) -> Counter[bool]:
    """Count the seeds (False) and the generated records (True)."""
    return Counter(record.depth > 0 for record in chosen)


@pytest.mark.parametrize(
    ("total", "synthetic", "pool", "human", "machine"),
    [(8, 2, 9, 6, 2), (8, 2, 1, 7, 1), (8, 2, 0, 8, 0), (3, 3, 9, 0, 3), (8, 0, 9, 8, 0),
     (1, 1, 9, 0, 1), (12, 0, 0, 12, 0)],
)  # fmt: skip
def test_seeds_fill_the_positions_that_the_pool_cannot(
    total: int, synthetic: int, pool: int, human: int, machine: int
) -> None:
    chosen = DemonstrationMix(total, synthetic, 3).choose(1, 0, SEEDS, pool_of(*[1] * pool))
    assert count_generated(chosen) == Counter({False: human, True: machine})
    assert len({record.id for record in chosen}) == total


@pytest.mark.parametrize(("max_depth", "allowed"), [(1, {1}), (2, {1, 2}), (4, {1, 2, 3, 4})])
def test_no_demonstration_is_deeper_than_the_limit(max_depth: int, allowed: set[int]) -> None:
    pool = pool_of(*[1, 2, 3, 4, 5] * 8)
    mix = DemonstrationMix(4, 4, max_depth)
    shown = {record.depth for request in range(60) for record in mix.choose(1, request, SEEDS, pool)}
    assert shown == allowed


def test_only_seeds_are_shown_if_the_whole_pool_is_too_deep() -> None:
    chosen = DemonstrationMix(4, 2, 1).choose(1, 0, SEEDS, pool_of(2, 3, 4))
    assert len(chosen) == 4 and set(chosen) <= set(SEEDS)


def test_only_seed_and_request_decide_the_draw() -> None:
    mix, pool = DemonstrationMix(6, 2, 3), pool_of(1, 1, 2, 3)
    draw = [mix.choose(7, request, SEEDS, pool) for request in range(30)]
    again = [DemonstrationMix(6, 2, 3).choose(7, request, tuple(SEEDS), list(pool)) for request in reversed(range(30))]
    assert draw == again[::-1]
    assert draw != [mix.choose(8, request, SEEDS, pool) for request in range(30)]
    assert len({tuple(record.id for record in chosen) for chosen in draw}) > 25


def test_the_draw_is_the_same_in_every_release() -> None:
    chosen = DemonstrationMix(4, 1, 3).choose(42, 5, SEEDS, pool_of(1, 2))
    assert [record.id for record in chosen] == ["s8", "s3", "m1", "s6"]


def test_every_seed_and_every_position_is_drawn() -> None:
    mix, pool = DemonstrationMix(4, 1, 3), pool_of(1, 1, 1)
    drawn = [mix.choose(3, request, SEEDS, pool) for request in range(300)]
    shown = Counter(record.id for chosen in drawn for record in chosen)
    assert set(shown) == {record.id for record in [*SEEDS, *pool]}
    assert max(shown[seed.id] for seed in SEEDS) < 2.5 * min(shown[seed.id] for seed in SEEDS)
    positions = Counter(at for chosen in drawn for at, record in enumerate(chosen) if record.depth)
    assert set(positions) == {0, 1, 2, 3} and min(positions.values()) > 40


@given(
    total=st.integers(1, 14), synthetic=st.integers(0, 14), max_depth=st.integers(1, 4), seed=st.integers(),
    seeds=st.integers(1, 12), deep=st.lists(st.integers(1, 6), max_size=12),
)  # fmt: skip
@settings(deadline=None, derandomize=True)
def test_a_choice_has_the_requested_numbers_as_far_as_available(
    total: int, synthetic: int, max_depth: int, seed: int, seeds: int, deep: list[int]
) -> None:
    pool = pool_of(*deep)
    chosen = DemonstrationMix(total, synthetic, max_depth).choose(seed, 3, SEEDS[:seeds], pool)
    machine = [record for record in chosen if record.depth]
    eligible = sum(depth <= max_depth for depth in deep)
    assert len(machine) == min(synthetic, total, eligible)
    assert len(chosen) - len(machine) == min(total - len(machine), seeds)
    assert all(record in SEEDS[:seeds] or record in pool for record in chosen)
    assert len({record.id for record in chosen}) == len(chosen)


@pytest.mark.parametrize(("total", "synthetic"), [(12, 12), (12, 0), (1, 0)])
def test_as_many_demonstrations_as_seeds_can_be_requested(total: int, synthetic: int) -> None:
    mix = DemonstrationMix(total, synthetic, 3)
    mix.check(SEEDS)
    assert len(mix.choose(1, 0, SEEDS, [])) == total


@pytest.mark.parametrize(
    ("total", "synthetic", "message"),
    [
        (
            13,
            2,
            "--num_prompt_instructions is 13, but there are only 12 seed tasks to show; lower it to at most 12 or add",
        ),
        (3, 4, "--num_prompt_synthetic_instructions is 4, more than the 3 of --num_prompt_instructions, which counts"),
    ],
)
def test_impossible_numbers_of_demonstrations_are_refused(total: int, synthetic: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DemonstrationMix(total, synthetic, 3).check(SEEDS)


def collapsed_pool() -> RecordPool:
    """Return a pool in which five openings begin two thirds of the records, as in runs of base models."""
    pool = RecordPool()
    for at in range(3000):
        words = f"write a{at % 5}" if at % 3 else f"opening {at}"
        pool.add(Record(f"m{at}", f"{words} of {at}", "", "x", 1), at)
    return pool


def share_of_crowded(chosen: Sequence[Record]) -> float:
    return sum(record.instruction.startswith("write a") for record in chosen) / len(chosen)


def test_steering_shows_tasks_with_rare_openings() -> None:
    pool = collapsed_pool().before(3000)
    shown = {
        steer: [
            record
            for request in range(100)
            for record in DemonstrationMix(6, 6, 3, steer).choose(1, request, [], pool)
        ]
        for steer in (False, True)
    }
    assert 0.6 < share_of_crowded(shown[False]) < 0.73 and share_of_crowded(shown[True]) < 0.1
    assert len({record.id for record in shown[True]}) > 400  # and they are not always the same


def test_steering_shows_seeds_that_the_pool_resembles_least() -> None:
    pool = [Record(f"m{at}", f"Seed task {at}", "", "x", 1) for at in range(20)]
    other = Record("rare", "Count the birds", "", "x")
    chosen = [DemonstrationMix(1, 0, 3, True).choose(2, request, [*SEEDS, other], pool)[0] for request in range(60)]
    assert 20 < chosen.count(other) < 60


def test_steering_depends_only_on_the_seed_the_request_and_the_pool() -> None:
    mix, whole = DemonstrationMix(6, 3, 3, steer=True), collapsed_pool()
    draws = [mix.choose(7, request, SEEDS, whole.before(2 * request)) for request in range(40)]
    assert draws == [mix.choose(7, request, SEEDS, list(whole)[: 2 * request]) for request in range(40)]
    assert all(len({record.id for record in chosen}) == 6 for chosen in draws)


class Collapsing(ChatModel):
    """Begins two thirds of its tasks with one of five openings, as base models do, by copying what it is shown: half of its
    tasks begin like one of the demonstrations, and most others like the five.
    """

    def _text(self, request: Request) -> str:
        rng = random.Random(request.seed)
        shown = re.findall(r"Instruction:\n(\S+ \S+)", request.prompt)
        tasks = []
        for _ in range(3):
            draw = rng.random()
            begin = (
                rng.choice(shown)
                if draw < 0.5
                else f"Write a{rng.randrange(5)}"
                if draw < 0.87
                else f"Name {rng.random()}"
            )
            tasks.append(f"{begin} {' '.join(rng.sample(NOUNS, 9))}.")
        return "".join(block(5 + at, task, f"It is {task[:30]}") for at, task in enumerate(tasks)).split("\n", 1)[1]


def test_steering_lowers_the_share_of_crowded_openings_in_a_run(tmp_path: Path) -> None:
    shares = {}
    for steer in (False, True):
        config = Config(
            batch_dir=str(tmp_path / str(steer)), seed_tasks_path=str(ROOT / "seeds" / "code.jsonl"), recipe="few_shot",
            num_prompt_instructions=6, num_prompt_synthetic_instructions=6, num_instructions_to_generate=200, steer=steer,
        )  # fmt: skip
        records = generate(config, engine=Collapsing()).records
        assert len(records) == 200
        shares[steer] = by_words([record.instruction for record in records])["commonest_openings"]
    assert shares[True] < 0.5 < 0.58 < shares[False], f"shares of the {OPENINGS} commonest openings"
