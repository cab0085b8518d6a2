"""Building the parts of a run from its options."""

import pytest

from self_instruct.generation.assembly import with_earlier_choices, with_horizon
from self_instruct.generation.config import assemble


@pytest.mark.parametrize(
    ("given", "earlier", "horizon"),
    [
        ({}, None, 16),
        ({"num_instructions_to_generate": 5000}, None, 100),
        ({"num_instructions_to_generate": 10**6}, None, 1024),
        ({"num_instructions_to_generate": 5000, "request_batch_size": 500}, None, 100),
        ({"recipe": "chat"}, None, 32),
        ({"recipe": "magpie", "num_instructions_to_generate": 5000}, None, 500),
        ({"recipe": "chat", "num_instructions_to_generate": 5000}, {"options": {"horizon": 16}}, 16),
        ({"num_instructions_to_generate": 5000, "horizon": 3}, {"options": {"horizon": 7}}, 3),
        ({"num_instructions_to_generate": 5000}, {"options": {"horizon": 7}}, 7),
    ],
)
def test_the_horizon_is_given_or_stored_or_derived_from_recipe_and_size_of_the_run(given, earlier, horizon):
    assert with_horizon(with_earlier_choices(assemble(given), earlier)).prompt.horizon == horizon
