"""Choose the back-end that generates with a model, and say why the others do not suit it.

`auto` chooses paged where it is known to be fast and a probe confirms its output, slots where every layer has an
ordinary cache, and static otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from transformers import GenerationConfig
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.active_request import ActiveRequest, EndRules
from self_instruct.engines.local.attention import ungroup_queries
from self_instruct.engines.local.sampling import check, draw
from self_instruct.engines.local.slots import SlotBackend
from self_instruct.engines.local.static import StaticBackend
from self_instruct.engines.local.tokenizer import context_length
from self_instruct.errors import UserError

PROBES = ("Write a function that adds two numbers.\n", "1. Instruction:\n")
PROBE_TOKENS = 8
# Logits closer than this many units of rounding may be ordered differently by another kernel.
NEAR_TIE = 4
_ORDINARY_LAYERS = {"full_attention", "sliding_attention"}
_FLASH = {"flash_attention_2": is_flash_attn_2_available, "flash_attention_3": is_flash_attn_3_available}


class Backend(Protocol):
    """Generates tokens for rows, at most `limit` at a time; `active` is the number of unfinished rows that it holds."""

    limit: int

    @property
    def active(self) -> int:
        """The number of active rows."""

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """Take rows out of `waiting`, generate for some, and return the rows that have ended."""

    def close(self) -> None:
        """Free all resources; unfinished rows are abandoned."""


def choose_backend(
    name: str,
    model: Any,
    tokenizer: Any,
    sampling: Sampling,
    rules: EndRules,
    batch_size: int,
    same_sampling: bool = True,
    reasons_against: Mapping[str, str] | None = None,
) -> tuple[Backend, str]:
    """Return a back-end, and its name with the reasons against the others.

    For "auto", it is the first of paged, slots and static that suits the model. `reasons_against` has the reasons against other
    engines, which come first. `same_sampling` is true if all requests use `sampling`, apart from the number of new tokens.
    Raises `UserError` if the named back-end does not suit the model.
    """
    reasons_against = dict(reasons_against or {})
    for candidate in ("paged", "slots", "static") if name == "auto" else (name,):
        reason, build = None, _BUILDERS[candidate]
        if candidate == "paged" and name == "auto":
            reason = _speed_obstacle(model)
        if candidate == "paged" and not same_sampling:
            reason = "it uses one sampling for all requests, and some have their own"
        reason = reason or _backend_obstacle(candidate, model, tokenizer, sampling, rules)
        if reason is None:
            reasons = "; ".join(f"not {other}: {against}" for other, against in reasons_against.items())
            backend = build(model, tokenizer, sampling, rules, batch_size)
            return backend, f"{candidate} ({reasons})" if reasons else candidate
        reasons_against[candidate] = reason
    raise UserError(f"--engine_backend is '{name}', but {reasons_against[name]}; use another back-end, or 'auto'")


def _build_paged(model: Any, tokenizer: Any, sampling: Sampling, rules: EndRules, batch_size: int) -> Backend:
    from self_instruct.engines.local.paged import PagedBackend

    ungroup_queries(model)
    return PagedBackend(model, sampling, rules, batch_size, context_length(model.config, tokenizer))


_BUILDERS: dict[str, Callable[[Any, Any, Sampling, EndRules, int], Backend]] = {
    "paged": _build_paged,
    "slots": lambda model, tokenizer, sampling, *rest: SlotBackend(model, *rest),
    "static": lambda model, tokenizer, sampling, *rest: StaticBackend(model, tokenizer.pad_token_id, *rest),
}


def _speed_obstacle(model: Any) -> str | None:
    """Return why paged would be slower than slots here, or None."""
    if model.device.type != "cuda":
        return f"it gains on CUDA only, and the model is on {model.device.type}"
    if torch.cuda.get_device_capability(model.device) < (8, 0):
        return "it needs a GPU of compute capability 8.0"
    if model.dtype not in (torch.bfloat16, torch.float16):
        return f"it needs --dtype bfloat16 or float16, not {str(model.dtype).removeprefix('torch.')}"
    attention = model.config.get_text_config()._attn_implementation
    if attention not in _FLASH or not _FLASH[attention]():
        return f"it needs --attn_implementation flash_attention_2 or 3, and the flash-attn package, not {attention}"
    return None


def _backend_obstacle(candidate: str, model: Any, tokenizer: Any, sampling: Sampling, rules: EndRules) -> str | None:
    """Return why a back-end would give wrong results with the model, or None."""
    if candidate == "static":
        return None
    config, kind = model.config.get_text_config(), type(model).__name__
    layers = set(getattr(config, "layer_types", None) or _ORDINARY_LAYERS)
    shared = getattr(config, "num_kv_shared_layers", 0)  # these layers have no cache of their own
    if layers - _ORDINARY_LAYERS or shared or getattr(model, "_is_stateful", False):
        return f"{kind} does not keep an ordinary key-value cache in every layer"
    return None if candidate == "slots" else _paged_obstacle(model, tokenizer, sampling, rules)


def _paged_obstacle(model: Any, tokenizer: Any, sampling: Sampling, rules: EndRules) -> str | None:
    """Return why a paged cache would be wrong or ignore an option, or None."""
    kind = type(model).__name__
    if not getattr(model, "_supports_attention_backend", False):
        return f"{kind} uses its own attention, with which a paged cache would give wrong results without an error"
    if sampling.repetition_penalty != 1.0:
        return "it would ignore --repetition_penalty"
    if sampling.constrain:
        return "it would ignore --constrain"
    return _disagreement(model, tokenizer, rules)


def _disagreement(model: Any, tokenizer: Any, rules: EndRules) -> str | None:
    """Compare paged with `generate` on greedy continuations of two short prompts; return the difference, or None."""
    greedy = Sampling(max_new_tokens=PROBE_TOKENS, temperature=0)
    rules = replace(rules, end_tokens=frozenset())
    requests = [Request(at, text, "", (), str(at)) for at, text in enumerate(PROBES)]
    rows = [ActiveRequest(request, tokenizer(request.prompt)["input_ids"], greedy) for request in requests]
    try:
        references = [_reference(model, tokenizer.pad_token_id, row.prompt) for row in rows]
        sizes = {size for _, found in references for size in found}
        if len(sizes) > 1:
            return f"keys and values of {type(model).__name__} differ in size ({', '.join(map(str, sorted(sizes)))})"
        backend = _build_paged(model, tokenizer, greedy, rules, len(rows))
        try:
            waiting = list(rows)
            while waiting or backend.active:
                backend.advance(waiting, lambda drawn: None, lambda: False)
        finally:
            backend.close()
    except Exception as error:  # other versions, models and devices can cause any exception
        return f"it cannot run {type(model).__name__} ({type(error).__name__}: {error})"
    for row, (logits, _) in zip(rows, references, strict=True):
        if row.error:
            return f"it cannot run {type(model).__name__} ({row.error})"
        if not _agrees(row.tokens, logits, greedy, model.dtype):
            return f"it does not write what generate writes with {type(model).__name__}"
    return None


def _reference(model: Any, pad_token: int, prompt: Sequence[int]) -> tuple[torch.Tensor, set[int]]:
    """Return the logits [tokens, vocabulary] of a greedy continuation, and the head sizes of the configuration and the
    cache.
    """
    ids = torch.tensor([prompt], device=model.device)
    options = GenerationConfig(
        max_new_tokens=PROBE_TOKENS, do_sample=False, num_beams=1, use_cache=True, pad_token_id=pad_token,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    result = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=options)
    config = model.config.get_text_config()
    sizes = {getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads}
    for layer in result.past_key_values.layers:
        sizes |= {layer.keys.shape[-1], layer.values.shape[-1]}
    return torch.cat(result.logits), sizes


def _agrees(tokens: Sequence[int], logits: torch.Tensor, greedy: Sampling, dtype: torch.dtype) -> bool:
    """Return whether the tokens are the likeliest ones, up to the first that rounding may have decided."""
    likeliest = draw(logits, greedy, torch.zeros(len(logits))).tolist()
    check(likeliest)
    for token, best, scores in zip(tokens, likeliest, logits.double(), strict=True):
        if token != best:
            return bool(scores[best] - scores[token] <= NEAR_TIE * torch.finfo(dtype).eps * scores.abs().max())
    return True
