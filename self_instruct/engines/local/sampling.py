"""Draw the next token of each row from its own uniform random number.

A request's tokens therefore do not depend on the other rows of its batch, except through rounding of the logits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from self_instruct.engines.base import Sampling
from self_instruct.errors import UserError

NOT_A_NUMBER = -1
NO_NUMBERS = (
    "the model's logits are not numbers (NaN or infinite); if half precision overflows, use --dtype bfloat16 or "
    "float32"
)
FEW = 128


def draw(logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    """Return token ids [rows] for logits [rows, vocabulary] and uniform numbers [rows] from 0 to 1.

    At temperature 0, take the likeliest token. Otherwise, look the number up in the cumulative distribution of the
    tokens that `top_k`, `top_p` and `min_p` keep, likeliest first. A row whose logits are not finite gets
    `NOT_A_NUMBER`. Does not wait for an accelerator.
    """
    number = logits.amax(-1).isfinite()
    if sampling.temperature == 0:
        chosen = logits.argmax(-1)
    elif logits.device.type == "cpu":
        chosen = _draw_on_cpu((logits.float() / sampling.temperature).nan_to_num(), sampling, uniform)
    else:
        chosen = draw_without_sorting(logits, sampling, uniform)
    return torch.where(number, chosen, NOT_A_NUMBER)


def draw_rows(
    logits: torch.Tensor, samplings: Sequence[Sampling], uniform: torch.Tensor, seen: torch.Tensor | None
) -> torch.Tensor:
    """Like `draw`, for rows with different samplings; rows with the same sampling are drawn together, with the same
    result as alone.

    `seen` [rows, vocabulary] marks the tokens of each row's text so far; None if no row has a repetition penalty.
    """
    groups: dict[Sampling, list[int]] = {}
    for row, sampling in enumerate(samplings):
        groups.setdefault(sampling, []).append(row)
    if len(groups) == 1:
        return _draw_penalised(logits, samplings[0], uniform, seen)
    chosen = torch.empty(len(samplings), dtype=torch.long, device=logits.device)
    for sampling, own in groups.items():
        rows = upload(own, logits.device)
        chosen[rows] = _draw_penalised(logits[rows], sampling, uniform[rows], None if seen is None else seen[rows])
    return chosen


def upload(values: Sequence[Any], device: torch.device, dtype: torch.dtype = torch.long) -> torch.Tensor:
    """Return a tensor on a device, copied from pinned memory, because a copy from other memory would block."""
    host = torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda")
    return host.to(device, non_blocking=True)


def _draw_penalised(
    logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor, seen: torch.Tensor | None
) -> torch.Tensor:
    if seen is not None and sampling.repetition_penalty != 1.0:
        logits = penalise(logits.float(), seen, sampling.repetition_penalty)
    return draw(logits, sampling, uniform)


def check(tokens: list[int]) -> list[int]:
    """Return the drawn tokens. Raises `UserError` if the logits of one were not finite."""
    if NOT_A_NUMBER in tokens:
        raise UserError(NO_NUMBERS)
    return tokens


def penalise(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return logits [rows, vocabulary] in which the tokens marked in `seen` [rows, vocabulary] are less likely
    (keskar2019ctrl): positive logits are divided by the penalty, negative ones multiplied.
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def _look_up(
    ordered: torch.Tensor, total: torch.Tensor, sampling: Sampling, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the drawn positions [rows, 1] in scores [rows, tokens], likeliest first, and whether top_p or min_p
    excludes the last score of a row. `total` [rows, 1] is the log-sum-exp over the vocabulary.
    """
    probabilities = (ordered - total).exp()
    before = probabilities.cumsum(-1) - probabilities
    kept = (before < sampling.top_p) & (probabilities >= sampling.min_p * probabilities[:, :1])
    mass = (probabilities * kept).cumsum(-1)
    at = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)
    # A number that single precision rounds to 1 would fall after the last kept token.
    return torch.minimum(at, kept.sum(-1, keepdim=True) - 1).clamp(min=0), ~kept[:, -1]


def _draw_on_cpu(scores: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    """Draw from the `FEW` likeliest tokens of each row, or from all tokens if more than `FEW` are kept."""
    size = scores.shape[-1]
    if 0 < sampling.top_k < size:
        return _draw_from_top_k(scores, sampling, uniform)
    few, total = min(FEW, size), scores.logsumexp(-1, keepdim=True)
    chosen = torch.full_like(uniform, NOT_A_NUMBER, dtype=torch.long)
    # In the other rows, `few` tokens cannot reach top_p, even if all were as likely as the likeliest one.
    may_suffice = (scores.amax(-1) - total[:, 0]).exp() * few >= (sampling.top_p if sampling.min_p == 0 else 0.0)
    rows = may_suffice.nonzero()[:, 0]
    if len(rows):
        ordered, ids = torch.topk(scores[rows], few, dim=-1)
        at, whole = _look_up(ordered, total[rows], sampling, uniform[rows])
        chosen[rows] = torch.where(whole, ids.gather(1, at)[:, 0], NOT_A_NUMBER)
    rows = (chosen == NOT_A_NUMBER).nonzero()[:, 0]
    if len(rows):
        chosen[rows] = _draw_from_all(scores[rows], total[rows], sampling, uniform[rows])
    return chosen


def _draw_from_top_k(scores: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    ordered, ids = torch.topk(scores, sampling.top_k, dim=-1)
    at, _ = _look_up(ordered, ordered.logsumexp(-1, keepdim=True), sampling, uniform)
    return ids.gather(1, at)[:, 0]


def _draw_from_all(
    scores: torch.Tensor, total: torch.Tensor, sampling: Sampling, uniform: torch.Tensor
) -> torch.Tensor:
    """Draw from all tokens. Sorting only the values with NumPy is several times as fast as an argsort; ties keep their
    order.
    """
    values = scores.numpy()
    ordered = -np.sort(-values, axis=-1)
    at, _ = _look_up(torch.from_numpy(ordered), total, sampling, uniform)
    chosen = []
    for row, place in enumerate(at[:, 0].tolist()):
        value = ordered[row, place]
        first = np.searchsorted(-ordered[row], -value)
        chosen.append(int(np.flatnonzero(values[row] == value)[place - first]))
    return torch.tensor(chosen)


def draw_without_sorting(logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    """Return the token ids [rows] that a stable sort of the vocabulary would give, for a temperature above 0.

    The mass of the tokens that are likelier than a given one falls with that token's logit, so bisection over the bits of the
    logits finds the token at which a mass is reached: 16 sums over the vocabulary for half precision, 32 for single precision,
    which an accelerator does faster than a sort, and without the host.
    """
    scores, size = (logits.float() / sampling.temperature).nan_to_num(), logits.shape[-1]
    if 0 < sampling.top_k < size:
        return _draw_from_top_k(scores, sampling, uniform)
    keys, probabilities = _ordered_bits(logits), (scores - scores.amax(-1, keepdim=True)).exp()
    probabilities /= probabilities.sum(-1, keepdim=True)  # torch's softmax adds less accurately
    probabilities *= probabilities >= sampling.min_p * probabilities.amax(-1, keepdim=True)
    mass = probabilities.sum(-1, keepdim=True)
    end, most = None, torch.full_like(mass, size)
    if sampling.top_p < 1:
        # Of equally likely tokens, those with the lowest ids are kept until top_p is reached.
        end, above, each = _reach(keys, probabilities, _below(mass).clamp(max=sampling.top_p))
        most = ((sampling.top_p - above) / each).ceil().clamp(1, size)
        probabilities *= keys >= end
        mass = torch.minimum(above + most * each, probabilities.sum(-1, keepdim=True))
    target = torch.minimum(uniform[:, None] * mass, _below(mass))
    key, above, each = _reach(keys, probabilities, target)
    equal = (keys == key).cumsum(-1, dtype=torch.int32)
    last = equal[:, -1:] if end is None else torch.where(key == end, most.int().minimum(equal[:, -1:]), equal[:, -1:])
    before = ((target - above) / each).int().clamp(min=0).minimum(last - 1)
    return torch.searchsorted(equal, before, right=True)[:, 0].clamp(max=size - 1)


def _reach(
    keys: torch.Tensor, probabilities: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the greatest key [rows, 1] such that greater and equal keys have more mass than `target` [rows, 1], the mass of
    the greater ones, and the probability of one token with that key.
    """
    limits = torch.iinfo(keys.dtype)
    low, high = (torch.full_like(target, limit, dtype=torch.long) for limit in (limits.min, limits.max))
    for _ in range(limits.bits):
        middle = (low + high) // 2  # rounds down, so it is below `high` and the interval shrinks
        beyond = torch.where(keys > middle.to(keys.dtype), probabilities, 0).sum(-1, keepdim=True) > target
        low, high = torch.where(beyond, middle + 1, low), torch.where(beyond, high, middle)
    key = high.to(keys.dtype)
    above = torch.where(keys > key, probabilities, 0).sum(-1, keepdim=True)
    return key, above, torch.where(keys == key, probabilities, 0).amax(-1, keepdim=True)


def _below(mass: torch.Tensor) -> torch.Tensor:
    return mass.nextafter(torch.zeros_like(mass))


def _ordered_bits(logits: torch.Tensor) -> torch.Tensor:
    """Return integers in the order of the floating-point numbers: their bits, which for a negative number are flipped."""
    half = logits.dtype in (torch.bfloat16, torch.float16)
    numbers = (logits if half else logits.float()) + 0.0  # -0 becomes 0, which equals it
    bits = numbers.view(torch.int16 if half else torch.int32)
    return torch.where(bits < 0, bits ^ torch.iinfo(bits.dtype).max, bits)
