"""Drawing the next token of each row from a uniform number of its own.

A request's tokens therefore do not depend on what is generated beside it, beyond the rounding of the logits themselves.
Knows only logits and numbers; models and text are elsewhere.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from self_instruct.engines.base import Sampling
from self_instruct.errors import UserError

NOT_A_NUMBER = -1
NO_NUMBERS = (
    "the model's logits are not numbers (NaN or infinite); if half precision overflows: --dtype bfloat16 or float32"
)
FEW = 128


def draw(logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    """Token ids [rows] for logits [rows, vocabulary] and numbers [rows] from 0 to 1. At temperature 0 the likeliest; otherwise
    the number is looked up in the cumulative distribution of the tokens that `top_k`, `top_p` and `min_p` leave, likeliest
    first. `NOT_A_NUMBER` stands for a row whose logits are none. Does not wait for an accelerator.
    """
    number = logits.amax(-1).isfinite()
    if sampling.temperature == 0:
        chosen = logits.argmax(-1)
    elif logits.device.type == "cpu":
        chosen = _draw_on_cpu((logits.float() / sampling.temperature).nan_to_num(), sampling, uniform)
    else:
        ordered, ids = torch.sort(logits.float() / sampling.temperature, dim=-1, descending=True, stable=True)
        ordered = ordered[:, : sampling.top_k or None]
        at, _ = _look_up(ordered, ordered.logsumexp(-1, keepdim=True), sampling, uniform)
        chosen = ids.gather(1, at)[:, 0]
    return torch.where(number, chosen, NOT_A_NUMBER)


def draw_rows(
    logits: torch.Tensor, samplings: Sequence[Sampling], uniform: torch.Tensor, seen: torch.Tensor | None
) -> torch.Tensor:
    """As `draw`, for rows that may differ in how they are drawn: those that do not are drawn together, just as alone.

    `seen` [rows, vocabulary] are the tokens of each row's text so far; None where no row has a repetition penalty.
    """
    places: dict[Sampling, list[int]] = {}
    for place, sampling in enumerate(samplings):
        places.setdefault(sampling, []).append(place)
    if len(places) == 1:
        return _draw_penalised(logits, samplings[0], uniform, seen)
    chosen = torch.empty(len(samplings), dtype=torch.long, device=logits.device)
    for sampling, own in places.items():
        rows = upload(own, logits.device)
        chosen[rows] = _draw_penalised(logits[rows], sampling, uniform[rows], None if seen is None else seen[rows])
    return chosen


def upload(values: Sequence[Any], device: torch.device, dtype: torch.dtype = torch.long) -> torch.Tensor:
    """A tensor on a device. From pinned memory, because from other memory the copy would wait."""
    host = torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda")
    return host.to(device, non_blocking=True)


def _draw_penalised(
    logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor, seen: torch.Tensor | None
) -> torch.Tensor:
    if seen is not None and sampling.repetition_penalty != 1.0:
        logits = penalise(logits.float(), seen, sampling.repetition_penalty)
    return draw(logits, sampling, uniform)


def check(tokens: list[int]) -> list[int]:
    """Drawn tokens as they are. Raises `UserError` if the logits of one were not numbers."""
    if NOT_A_NUMBER in tokens:
        raise UserError(NO_NUMBERS)
    return tokens


def penalise(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits [rows, vocabulary] with those of the tokens that are `seen` [rows, vocabulary] made less likely (keskar2019ctrl):
    positive ones are divided by the penalty, negative ones multiplied.
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def _look_up(
    ordered: torch.Tensor, total: torch.Tensor, sampling: Sampling, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places [rows, 1] in scores [rows, tokens], likeliest first, whose log-sum-exp is `total` [rows, 1]; and whether the last
    of these scores was one too many.
    """
    probabilities = (ordered - total).exp()
    before = probabilities.cumsum(-1) - probabilities
    kept = (before < sampling.top_p) & (probabilities >= sampling.min_p * probabilities[:, :1])
    mass = (probabilities * kept).cumsum(-1)
    at = torch.searchsorted(mass, uniform[:, None] * mass[:, -1:], right=True)
    # A number that single precision rounds to 1 would fall behind the last token that is kept.
    return torch.minimum(at, kept.sum(-1, keepdim=True) - 1).clamp(min=0), ~kept[:, -1]


def _draw_on_cpu(scores: torch.Tensor, sampling: Sampling, uniform: torch.Tensor) -> torch.Tensor:
    """Looks at the likeliest few tokens of each row, and at all of them only where those few are not what is kept."""
    size = scores.shape[-1]
    if 0 < sampling.top_k < size:
        ordered, ids = torch.topk(scores, sampling.top_k, dim=-1)
        at, _ = _look_up(ordered, ordered.logsumexp(-1, keepdim=True), sampling, uniform)
        return ids.gather(1, at)[:, 0]
    few, total = min(FEW, size), scores.logsumexp(-1, keepdim=True)
    chosen = torch.full_like(uniform, NOT_A_NUMBER, dtype=torch.long)
    # Not even so many tokens as likely as the likeliest one would fill the nucleus of the other rows.
    hopeful = (scores.amax(-1) - total[:, 0]).exp() * few >= (sampling.top_p if sampling.min_p == 0 else 0.0)
    rows = hopeful.nonzero()[:, 0]
    if len(rows):
        ordered, ids = torch.topk(scores[rows], few, dim=-1)
        at, whole = _look_up(ordered, total[rows], sampling, uniform[rows])
        chosen[rows] = torch.where(whole, ids.gather(1, at)[:, 0], NOT_A_NUMBER)
    rows = (chosen == NOT_A_NUMBER).nonzero()[:, 0]
    if len(rows):
        chosen[rows] = _draw_from_all(scores[rows], total[rows], sampling, uniform[rows])
    return chosen


def _draw_from_all(
    scores: torch.Tensor, total: torch.Tensor, sampling: Sampling, uniform: torch.Tensor
) -> torch.Tensor:
    """Sorts the values alone, with NumPy, which is several times as fast as sorting tokens by them; equals keep their order."""
    values = scores.numpy()
    ordered = -np.sort(-values, axis=-1)
    at, _ = _look_up(torch.from_numpy(ordered), total, sampling, uniform)
    chosen = []
    for row, place in enumerate(at[:, 0].tolist()):
        value = ordered[row, place]
        first = np.searchsorted(-ordered[row], -value)
        chosen.append(int(np.flatnonzero(values[row] == value)[place - first]))
    return torch.tensor(chosen)
