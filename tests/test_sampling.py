"""Drawing tokens: pytest tests/test_sampling.py"""

import random
from collections import Counter

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from self_instruct.engines.base import Sampling
from self_instruct.engines.sampling import draw, penalise


class Fixed(random.Random):
    """A generator whose uniform numbers are given."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(64, 50, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.parametrize(
    ("top_p", "top_k", "temperature"), [(0.9, 0, 1.0), (1.0, 5, 0.7), (0.5, 7, 1.3), (0.01, 0, 1.0)]
)
def test_only_tokens_that_the_reference_keeps_are_drawn(logits, top_p, top_k, temperature):
    reference = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        reference = TopKLogitsWarper(top_k)(None, reference)
    reference = TopPLogitsWarper(top_p)(None, reference) if top_p < 1 else reference
    sampling = Sampling(1, temperature, top_p, top_k)
    drawn: list[set[int]] = [set() for _ in logits]
    for step in range(400):
        chosen = draw(logits, sampling, [Fixed((step + 0.5) / 400)] * 64)
        for row, token in enumerate(chosen.tolist()):
            drawn[row].add(token)
    for row, tokens in enumerate(drawn):
        kept = set(reference[row].isfinite().nonzero().flatten().tolist())
        assert tokens <= kept
        likely = {t for t in kept if reference[row].softmax(-1)[t] > 0.01}
        assert likely <= tokens


def test_tokens_come_as_often_as_they_are_likely():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(4000, 1)
    counts = Counter(draw(logits, Sampling(1, 1.0, 1.0), [random.Random(i) for i in range(4000)]).tolist())
    assert [round(counts[token] / 4000, 1) for token in range(3)] == [0.5, 0.3, 0.2]


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_a_kept_token(logits, uniform):
    chosen = draw(logits, Sampling(1, 1.0, 0.8), [Fixed(uniform)] * 64)
    kept = TopPLogitsWarper(0.8)(None, logits).isfinite()
    assert kept.gather(1, chosen[:, None]).all()


def test_temperature_zero_is_greedy(logits):
    assert torch.equal(draw(logits, Sampling(1, 0.0), [random.Random(0)] * 64), logits.argmax(-1))


def test_rows_use_their_own_generators(logits):
    sampling = Sampling(1, 1.0, 1.0)
    all_rows = draw(logits, sampling, [random.Random(i) for i in range(64)])
    for row in (0, 31, 63):
        assert draw(logits[row : row + 1], sampling, [random.Random(row)])[0] == all_rows[row]


def test_penalty_equals_the_reference(logits):
    seen = torch.randint(0, 50, (64, 9), generator=torch.Generator().manual_seed(2))
    assert torch.equal(penalise(logits, seen, 1.3), RepetitionPenaltyLogitsProcessor(1.3)(seen, logits))
