"""Composing prompts within the token budget, deterministically."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.prompts import PromptBudget, PromptComposer
from self_instruct.records import Prompt, Record

SEEDS = [Record(f"s{at:02d}", f"Do task {at}.", "", "x " * (at + 1)) for at in range(10)]
POOL = [Record(f"m{at}", f"Machine task {at}.", "", "y", 1 + at % 3) for at in range(9)]


def count_words(text: str, opening: str) -> int:
    return len(text.split()) + len(opening.split())


def allowed(tokens: int) -> PromptBudget:
    """Return a budget of this many prompt tokens, with 100 new tokens."""
    return PromptBudget(100, tokens + 100, "the model's context is", "use a model with a longer context")


def composer(budget: int = 10_000, total: int = 4, synthetic: int = 2, **changes: object) -> PromptComposer:
    mix = DemonstrationMix(total, synthetic, 3)
    plain = PromptComposer("Write tasks.", INSTRUCTION_OUTPUT, mix, 42, SEEDS, count_words, allowed(budget))
    return replace(plain, **changes)


def size(prompt: Prompt) -> int:
    return count_words(prompt.text, prompt.opening)


def test_a_prompt_is_header_demonstrations_and_an_open_block() -> None:
    shown = composer(total=2, synthetic=0, seeds=SEEDS[:2]).compose(0, [])
    first, second = shown.demonstrations
    assert shown.text == (
        "Write tasks.\n###\n"
        f"1. Instruction:\n{first.instruction}\n\n1. Output:\n{first.output}\\\n###\n"
        f"2. Instruction:\n{second.instruction}\n\n2. Output:\n{second.output}\\\n###\n"
    )  # the backslash keeps the space at the end of these outputs
    assert (shown.opening, shown.number, shown.request) == ("3. Instruction:\n", 3, 0)


def test_the_demonstrations_can_be_read_back_from_the_prompt() -> None:
    for format in (INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT):
        shown = composer(format=format).compose(3, POOL)
        blocks = format.parse(shown.text.partition("###\n")[2])
        assert [block.fields["output"] for block in blocks] == [record.output for record in shown.demonstrations]


def test_a_prompt_lists_the_ids_of_its_seeds_and_generated_demonstrations() -> None:
    shown = composer().compose(1, POOL)
    by_id = {record.id: record for record in [*SEEDS, *POOL]}
    assert [record for record in shown.demonstrations if record.depth == 0] == [by_id[name] for name in shown.seed_ids]
    assert [record for record in shown.demonstrations if record.depth > 0] == [
        by_id[name] for name in shown.parent_ids
    ]
    assert (len(shown.seed_ids), len(shown.parent_ids)) == (2, 2)


@pytest.mark.parametrize(("depths", "depth"), [((), 1), ((0, 0), 1), ((0, 1), 2), ((3, 0, 1), 4)])
def test_a_new_record_is_one_deeper_than_its_deepest_demonstration(depths: tuple[int, ...], depth: int) -> None:
    shown = tuple(Record(f"r{at}", "a", "", "b", value) for at, value in enumerate(depths))
    assert Prompt(0, "", "", 1, shown).depth == depth


def test_the_hash_covers_text_and_opening() -> None:
    prompt = Prompt(0, "one\ud800", "two", 1, ())
    assert prompt.sha256 == hashlib.sha256(b"one\xed\xa0\x80two").hexdigest()
    assert replace(prompt, opening="three").sha256 != prompt.sha256
    assert replace(prompt, text="").sha256 != prompt.sha256


# ---- budget


@given(budget=st.integers(15, 120), request=st.integers(0, 500), total=st.integers(1, 10))
@settings(deadline=None, derandomize=True)
def test_every_prompt_fits_the_budget_and_has_a_demonstration(budget: int, request: int, total: int) -> None:
    tested = composer(budget, total, min(2, total))
    tested.check()
    shown = tested.compose(request, POOL)
    assert size(shown) <= budget
    assert 1 <= len(shown.demonstrations) <= total


def test_demonstrations_that_do_not_fit_are_left_out_and_the_rest_keeps_its_order() -> None:
    everything = composer().compose(5, POOL).demonstrations
    for budget in range(15, 70):
        shown = composer(budget).compose(5, POOL).demonstrations
        kept = [record for record in everything if record in shown]
        assert list(shown) == kept or list(shown) == [SEEDS[0]]
        left = [record for record in everything if record not in shown]
        for record in left:  # each would have exceeded the budget when it was drawn
            before = [other for other in shown if everything.index(other) < everything.index(record)]
            assert size(composer()._prompt(0, [*before, record])) > budget


def test_one_token_less_than_needed_leaves_one_demonstration_out() -> None:
    whole = composer().compose(2, POOL)
    assert composer(size(whole)).compose(2, POOL) == whole
    assert len(composer(size(whole) - 1).compose(2, POOL).demonstrations) == 3


def test_the_shortest_seed_is_shown_if_none_of_the_drawn_records_fits() -> None:
    long = [replace(seed, output="x " * 50) for seed in SEEDS[:9]]
    tested = composer(20, total=1, synthetic=0, seeds=[*long, Record("short", "Add.", "", "3")])
    tested.check()
    assert {tested.compose(request, []).seed_ids[0] for request in range(40)} == {"short"}


def test_equally_short_seeds_are_ordered_by_id() -> None:
    seeds = [Record("b", "Add.", "", "1"), Record("a", "Sub.", "", "2")]
    tested = composer(5, total=1, synthetic=0, seeds=seeds)
    assert tested.compose(0, []).seed_ids == ["a"]


# ---- determinism


def test_a_prompt_depends_on_seed_request_and_pool_only() -> None:
    prompts = [composer().compose(request, POOL) for request in range(20)]
    assert prompts == [composer().compose(request, list(POOL)) for request in range(20)]
    assert len({prompt.sha256 for prompt in prompts}) == 20
    assert prompts != [composer(seed=43).compose(request, POOL) for request in range(20)]


def test_a_prompt_does_not_depend_on_requests_composed_before_it() -> None:
    tested = composer()
    alone = tested.compose(7, POOL[:4])
    for request in (3, 9, 7, 1):
        tested.compose(request, POOL)
    assert tested.compose(7, POOL[:4]) == alone


def test_records_that_are_too_deep_do_not_change_the_prompt() -> None:
    deep = [Record(f"d{at}", "Deep.", "", "z", 4) for at in range(5)]
    for request in range(20):
        assert composer().compose(request, [*POOL, *deep]) == composer().compose(request, POOL)


def test_without_machine_demonstrations_the_pool_does_not_matter() -> None:
    for request in range(10):
        assert composer(synthetic=0).compose(request, POOL) == composer(synthetic=0).compose(request, [])


@pytest.mark.parametrize("max_depth", [1, 2])
def test_prompts_respect_the_limit_on_depth(max_depth: int) -> None:
    tested = composer(mix=DemonstrationMix(4, 4, max_depth))
    prompts = [tested.compose(request, POOL) for request in range(40)]
    assert max(prompt.depth for prompt in prompts) == max_depth + 1


# ---- check


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            14,
            "leaves 14 tokens for the prompt: the model's context is 114 tokens, and .* has 15. Use at most 99, or use",
        ),
        (
            0,
            "leaves no room for the prompt: the model's context is 100 tokens, and .* has 15. Use at most 85, or use a",
        ),
        (-84, "leaves no room for the prompt: the model's context is 16 tokens, and .* has 15. Use at most 1, or"),
        (
            -85,
            "the model's context is 15 tokens, but .* has 15, so no value of --max_new_tokens leaves room for a "
            "completion. Use a model with a longer context, or shorten",
        ),
    ],
)
def test_a_budget_that_no_seed_fits_is_refused(budget: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        composer(budget).check()


def test_a_budget_that_the_shortest_seed_just_fits_is_enough() -> None:
    composer(15).check()
    assert size(composer(15).compose(0, [])) == 15
