"""Drawing the next token of each row, with one random generator per request.

A request's tokens therefore do not depend on what is generated beside it, beyond the rounding of the logits themselves.
Knows only logits and generators; models and text are elsewhere.
"""

import random
from collections.abc import Sequence

import torch

from self_instruct.engines.base import Sampling
from self_instruct.errors import UserError


def draw(logits: torch.Tensor, sampling: Sampling, generators: Sequence[random.Random]) -> torch.Tensor:
    """Token ids [rows] for logits [rows, vocabulary]. At temperature 0 the likeliest; otherwise one uniform number a row
    is looked up in the cumulative distribution of the tokens that `top_k` and `top_p` leave, likeliest first.
    Raises `UserError` if the logits are not numbers.
    """
    if (logits.isnan() | logits.isposinf()).any():
        raise UserError(
            "the model's logits are not numbers (NaN or infinite); half precision may overflow: try --dtype bfloat16 or float32"
        )
    if sampling.temperature == 0:
        return logits.argmax(-1)
    scores = logits.float() / sampling.temperature
    kept = min(sampling.top_k or scores.shape[-1], scores.shape[-1])
    if kept < scores.shape[-1]:
        ordered, ids = torch.topk(scores, kept, dim=-1)
    else:
        ordered, ids = torch.sort(scores, dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    nucleus = before < sampling.top_p
    cumulative = (probabilities * nucleus).cumsum(-1)
    uniform = torch.tensor([generator.random() for generator in generators], device=scores.device)[:, None]
    at = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    # A number that single precision rounds to 1 would fall behind the last token of the nucleus.
    at = torch.minimum(at, nucleus.sum(-1, keepdim=True) - 1)
    return ids.gather(1, at)[:, 0]


def penalise(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits with those of the tokens in `seen` [rows, length] made less likely (keskar2019ctrl): positive ones are divided
    by the penalty, negative ones multiplied.
    """
    scores = logits.gather(1, seen)
    return logits.scatter(1, seen, torch.where(scores < 0, scores * penalty, scores / penalty))
