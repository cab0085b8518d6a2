"""Grouped-query attention on a CPU: compared with that of transformers, and the models that get it."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from self_instruct.engines.local.attention import NAME, group_queries, grouped_attention, ungroup_queries


def model_of(heads: int, shared: int, attention: str = "sdpa"):
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=shared, attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize(("heads", "shared"), [(6, 2), (4, 1), (4, 4)])
@pytest.mark.parametrize("value_size", [8, 4])
def test_it_equals_that_of_transformers(heads, shared, new, value_size):
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups = heads // shared
    query, key, value = (
        torch.randn(2, heads, new, 8),
        torch.randn(2, shared, 9, 8),
        torch.randn(2, shared, 9, value_size),
    )
    mask = torch.ones(2, 1, new, 9, dtype=torch.bool).tril(9 - new)
    mask[1, ..., :4] = False  # the padding of a shorter row
    ours, theirs = (
        attend(module, query, key, value, mask, scaling=0.3)[0]
        for attend in (grouped_attention, sdpa_attention_forward)
    )
    assert ours.shape == (2, new, heads, value_size) and ours.is_contiguous()
    torch.testing.assert_close(ours, theirs)
    for left in (None, mask.expand(2, heads, new, 9)):  # without a mask, or with one for each head
        ours, theirs = (
            attend(module, query, key, value, left)[0] for attend in (grouped_attention, sdpa_attention_forward)
        )
        torch.testing.assert_close(ours, theirs)


def test_only_models_whose_query_heads_share_keys_and_that_compute_sdpa_get_it():
    assert not group_queries(model_of(4, 4)) and not group_queries(model_of(4, 2, "eager"))
    model, ids = model_of(4, 2), torch.arange(20).reshape(2, 10)
    before = model(ids).logits
    assert group_queries(model) and model.config._attn_implementation == NAME and not group_queries(model)
    torch.testing.assert_close(model(ids).logits, before)
    cached = model(ids[:, :9], use_cache=True).past_key_values
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[1, :3] = 0
    found = model(ids[:, 9:], attention_mask=mask, past_key_values=cached).logits[0, -1]
    torch.testing.assert_close(found, before[0, -1])
    ungroup_queries(model)
    assert model.config._attn_implementation == "sdpa"
