"""Sampling tokens."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.sampling import FEW, NOT_A_NUMBER, check, draw, draw_without_sorting, penalise
from self_instruct.errors import UserError


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(64, 50, generator=torch.Generator().manual_seed(1)) * 3


def reference(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return the logits after transformers' own processors, in its order."""
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return MinPLogitsWarper(sampling.min_p)(None, scores) if sampling.min_p else scores


KEPT = [
    Sampling(1, 1.0, 0.9), Sampling(1, 0.7, 1.0, 5), Sampling(1, 1.3, 0.5, 7), Sampling(1, 1.0, 0.01),
    Sampling(1, 1.0, 1.0, min_p=0.1), Sampling(1, 1.5, 1.0, min_p=0.02), Sampling(1, 0.5, 0.8, min_p=0.3),
    Sampling(1, 2.0, 0.95, 12, min_p=0.05), Sampling(1, 1.0, 1.0, min_p=1.0), Sampling(1, 1.0, 0.9, 10**6),
]  # fmt: skip


@pytest.mark.parametrize("sampling", KEPT)
@pytest.mark.parametrize("size", [50, 3 * FEW])
@pytest.mark.parametrize("draw", [draw, draw_without_sorting])
def test_only_the_tokens_that_the_reference_keeps_can_be_drawn(sampling, size, draw):
    logits = torch.randn(8, size, generator=torch.Generator().manual_seed(1)) * 3
    expected = reference(logits, sampling)
    probabilities = expected.double().softmax(-1)
    for row in range(8):
        # The number in the middle of a token's part of the distribution must draw that token.
        ordered, ids = probabilities[row].sort(descending=True, stable=True)
        middles = (ordered.cumsum(0) - ordered / 2)[ordered > 1e-6]
        drawn = draw(logits[row].expand(len(middles), -1), sampling, middles.float())
        assert drawn.tolist() == ids[: len(middles)].tolist()
        ends = draw(logits[row].expand(2, -1), sampling, torch.tensor([0.0, 1.0]))
        assert expected[row, ends].isfinite().all()


@pytest.mark.parametrize("top_p", [0.3, 0.95, 1.0])
@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_sampling_from_the_likeliest_tokens_equals_sampling_from_a_full_sort(top_p, spread):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(40, 1000, generator=generator) * spread * torch.linspace(0.1, 2, 40)[:, None]
    logits = (logits * 8).round() / 8  # many equal logits
    uniform = torch.rand(40, generator=generator)
    ordered, ids = torch.sort(logits, dim=-1, descending=True, stable=True)
    probabilities = (ordered - logits.logsumexp(-1, keepdim=True)).exp()
    mass = (probabilities * (probabilities.cumsum(-1) - probabilities < top_p)).cumsum(-1)
    at = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)
    drawn = draw(logits, Sampling(1, 1.0, top_p), uniform)
    assert torch.equal(logits.gather(1, drawn[:, None]), ordered.gather(1, at))
    flat = probabilities.cumsum(-1)[:, FEW - 1] < top_p
    assert torch.equal(drawn[flat], ids.gather(1, at)[flat, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("top_p", "min_p"), [(0.3, 0.0), (0.95, 0.0), (1.0, 0.0), (1.0, 0.05), (0.9, 0.02)])
def test_drawing_without_sorting_equals_a_stable_sort(dtype, top_p, min_p):
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(200, 3000, generator=generator, dtype=torch.float64) * torch.linspace(0, 6, 200)[:, None]
    logits = ((logits * 8).round() / 8).to(dtype)  # many equal logits, -0 and 0; all are equal in the first row
    uniform = torch.rand(200, generator=generator)
    uniform[:2] = torch.tensor([0.0, 1.0])
    ordered, ids = torch.sort(logits.double() / 0.8, dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(-1)
    kept = (
        probabilities
        * (probabilities.cumsum(-1) - probabilities < top_p)
        * (probabilities >= min_p * probabilities[:, :1])
    )
    mass = kept.cumsum(-1)
    wanted = uniform[:, None].double() * mass[:, -1:]
    at = torch.searchsorted(mass, wanted, right=True).clamp(max=2999)
    drawn = draw_without_sorting(logits, Sampling(1, 0.8, top_p, min_p=min_p), uniform)
    # Sums in single precision decide otherwise where a token begins or ends within their rounding.
    edge = (mass.gather(1, at) - wanted).minimum(wanted - (mass - kept).gather(1, at))[:, 0] < 1e-6
    equal = drawn == ids.gather(1, at)[:, 0]
    assert (equal | edge).all() and equal.sum() > 180


def test_tokens_are_drawn_with_their_probabilities():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(4000, 1)
    uniform = torch.rand(4000, generator=torch.Generator().manual_seed(3))
    counts = Counter(draw(logits, Sampling(1, 1.0, 1.0), uniform).tolist())
    assert [round(counts[token] / 4000, 1) for token in range(3)] == [0.5, 0.3, 0.2]


def test_temperature_zero_is_greedy(logits):
    assert torch.equal(draw(logits, Sampling(1, 0.0), torch.zeros(64)), logits.argmax(-1))


@given(st.integers(0, 63), st.sampled_from([0.5, 0.9, 1.0]), st.sampled_from([0, 4]), st.sampled_from([0.0, 0.2]))
def test_a_row_draws_the_same_token_alone_and_in_a_batch(row, top_p, top_k, min_p):
    generator = torch.Generator().manual_seed(row)
    logits = torch.randn(64, 400, generator=generator) * torch.linspace(0.01, 6, 64)[:, None]
    uniform, sampling = torch.rand(64, generator=generator), Sampling(1, 1.0, top_p, top_k, min_p=min_p)
    together = draw(logits, sampling, uniform)
    assert draw(logits[row : row + 1], sampling, uniform[row : row + 1])[0] == together[row]


@pytest.mark.parametrize("sampling", [Sampling(1, 0.0), Sampling(1, 1.0), Sampling(1, 1.0, 0.9, 5)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_without_finite_logits_is_marked_and_the_others_are_drawn(logits, sampling, value):
    broken = logits.clone()
    broken[3, 7] = value
    drawn = draw(broken, sampling, torch.full((64,), 0.5))
    assert drawn[3] == NOT_A_NUMBER
    expected = draw(logits, sampling, torch.full((64,), 0.5))
    assert drawn[:3].tolist() == expected[:3].tolist() == check(drawn[:3].tolist())
    with pytest.raises(UserError, match=r"not numbers .*--dtype"):
        check(drawn.tolist())


def test_penalty_equals_the_reference(logits):
    ids = torch.randint(0, 50, (64, 9), generator=torch.Generator().manual_seed(2))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, ids, True)
    assert torch.equal(penalise(logits, seen, 1.3), RepetitionPenaltyLogitsProcessor(1.3)(ids, logits))
