"""Tiny models that misbehave as real ones do: that write one token for ever, or whose numbers have run over."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from tests.support.tiny_models import build_tokenizer, save_tiny_model

END = 1
NAN = float("nan")


def token_of(character: str) -> int:
    """The token of a character of the tokenizer's byte alphabet: "ÿ" stands for the byte FF, which no text in UTF-8 has."""
    return build_tokenizer().convert_tokens_to_ids(character)


def save_constant_model(folder: Path, *tokens: int) -> Path:
    """A model that finds these tokens equally likely, and no other, whatever it reads."""
    return _changed(folder, "gpt_bigcode", lambda model: _constant(model, tokens))


def save_model_without_numbers(folder: Path) -> Path:
    """A model whose logits are NaN, whatever it reads."""
    return _changed(folder, "llama", lambda model: model.model.norm.weight.fill_(NAN))


def save_model_that_runs_over(folder: Path, token: int) -> Path:
    """A model whose keys, values and logits are NaN from a certain token on."""

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
