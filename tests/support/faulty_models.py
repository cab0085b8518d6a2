"""Tiny models that fail as real ones do: they repeat one token forever, or their logits overflow."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from tests.support.tiny_models import build_tokenizer, save_tiny_model

END = 1
NAN = float("nan")


def token_of(character: str) -> int:
    """Return the token of a character in the tokenizer's byte alphabet. "ÿ" is the byte FF, which UTF-8 never uses."""
    return build_tokenizer().convert_tokens_to_ids(character)


def save_constant_model(folder: Path, *tokens: int) -> Path:
    """Save a model that gives these tokens equal probability, and others none, for any input. Return its folder."""
    return _changed(folder, "gpt_bigcode", lambda model: _constant(model, tokens))


def save_model_with_nan(folder: Path) -> Path:
    """Save a model whose logits are NaN for any input. Return its folder."""
    return _changed(folder, "llama", lambda model: model.model.norm.weight.fill_(NAN))


def save_model_that_overflows(folder: Path, token: int) -> Path:
    """Save a model whose keys, values and logits are NaN from the first `token` on. Return its folder."""

    def change(model) -> None:
        model.model.embed_tokens.weight[token] = NAN

    return _changed(folder, "llama", change)


def _constant(model, tokens: tuple[int, ...]) -> None:
    body = model.transformer
    body.ln_f.weight.zero_()
    body.ln_f.bias.fill_(1.0)
    body.wte.weight.zero_()
    body.wte.weight[list(tokens)] = 1.0


def _changed(folder: Path, architecture: str, change) -> Path:
    save_tiny_model(architecture, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    return folder
