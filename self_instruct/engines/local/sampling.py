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
_UNIT = 2.0**40  # the weight of the likeliest token; those of a vocabulary add up to less than 2**63
_DIGIT_BITS, _DIGITS = 8, 256


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

    Probabilities are added as integers, so the result depends neither on the order of the additions nor on other rows.
    """
    scores, size = (logits.float() / sampling.temperature).nan_to_num(), logits.shape[-1]
    if 0 < sampling.top_k < size:
        return _draw_from_top_k(scores, sampling, uniform)
    relative = (scores - scores.amax(-1, keepdim=True)).exp()
    weights, keys = (relative * _UNIT).long(), _ordered_bits(logits)
    wanted = (weights.sum(-1, keepdim=True) * sampling.top_p).ceil().long()
    weights *= relative >= sampling.min_p
    mass = weights.sum(-1, keepdim=True)
    if sampling.top_p < 1:
        # Of equally likely tokens, those with the lowest ids are kept until top_p is reached.
        wanted = torch.minimum(wanted, mass)
        _, above, each = _reach(keys, weights, wanted - 1)
        mass = above + (wanted - above + each - 1) // each * each
    target = torch.minimum((uniform[:, None] * mass).long(), mass - 1)
    key, above, each = _reach(keys, weights, target)
    equal = (keys == key).cumsum(-1, dtype=torch.int32)
    return torch.searchsorted(equal, ((target - above) // each).int(), right=True)[:, 0].clamp(max=size - 1)


def _reach(
    keys: torch.Tensor, weights: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the greatest key [rows, 1] such that the weights [rows, tokens] of greater and equal keys add up to more than
    `target` [rows, 1], the sum of the weights of greater keys, and the weight of one token with that key.

    The key is found digit by digit, from the sums of the weights by digit.
    """
    limits = torch.iinfo(keys.dtype)
    numbers, above, found = keys.long() - limits.min, torch.zeros_like(target), torch.zeros_like(target)
    for shift in range(limits.bits - _DIGIT_BITS, -1, -_DIGIT_BITS):
        digits = (numbers >> shift) & (_DIGITS - 1)
        masses = weights.new_zeros(len(weights), _DIGITS).scatter_add_(1, digits, weights)
        greater = above + masses.flip(-1).cumsum(-1).flip(-1) - masses
        digit = _DIGITS - (greater <= target).sum(-1, keepdim=True)
        above, found = greater.gather(1, digit), found * _DIGITS + digit
        weights = torch.where(digits == digit, weights, 0)
    return (found + limits.min).to(keys.dtype), above, weights.amax(-1, keepdim=True)


def _ordered_bits(logits: torch.Tensor) -> torch.Tensor:
    """Return integers in the order of the floating-point numbers: their bits, which for a negative number are flipped."""
    half = logits.dtype in (torch.bfloat16, torch.float16)
    numbers = (logits if half else logits.float()) + 0.0  # -0 becomes 0, which equals it
    bits = numbers.view(torch.int16 if half else torch.int32)
    return torch.where(bits < 0, bits ^ torch.iinfo(bits.dtype).max, bits)
