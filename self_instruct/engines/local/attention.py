"""Grouped-query attention on a CPU without copies of the keys and values.

Several query heads share the keys and values of one head. For a CPU, transformers copies these for every query head, in each
layer and step. Here the queries of a group are multiplied with the keys together. The results are the same up to rounding.
"""

from typing import Any

import torch

NAME = "grouped_sdpa"


def group_queries(model: Any) -> bool:
    """Let a model on a CPU that computes attention by `sdpa` use `grouped_attention`. Return whether it does."""
    config = model.config.get_text_config()
    heads, shared = getattr(config, "num_attention_heads", 1), getattr(config, "num_key_value_heads", None)
    suits = (
        model.device.type == "cpu"
        and getattr(model, "_supports_attention_backend", False)
        and model.config._attn_implementation == config._attn_implementation == "sdpa"
        and shared is not None
        and shared < heads
    )
    if suits:
        from transformers import AttentionInterface, AttentionMaskInterface  # the model's loading imports them faster
        from transformers.masking_utils import sdpa_mask

        AttentionInterface.register(NAME, grouped_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
    return suits


def ungroup_queries(model: Any) -> None:
    """Undo `group_queries`, for a back-end that has its own cache."""
    if model.config._attn_implementation == NAME:
        model.set_attn_implementation("sdpa")


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention [rows, new, heads, size].

    `query` is [rows, heads, new, size], `key` and `value` are [rows, shared heads, columns, size], and the mask is
    [rows, 1, new, columns]. What differs from this is left to transformers.
    """
    rows, heads, new, size = query.shape
    shared = key.shape[1]
    if attention_mask is None or attention_mask.shape[1] != 1 or dropout or kwargs.get("position_bias") is not None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    # Query head h uses the keys of head h // groups, so the heads of a group follow each other.
    grouped = query.reshape(rows, shared, heads // shared * new, size)
    mask = attention_mask if new == 1 else attention_mask.repeat(1, 1, heads // shared, 1)
    found = torch.nn.functional.scaled_dot_product_attention(grouped, key, value, mask, scale=scaling)
    return found.reshape(rows, heads, new, value.shape[-1]).transpose(1, 2).contiguous(), None
