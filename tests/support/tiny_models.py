"""Tiny random-weight models of real architectures, saved as a user's model folder would be."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from self_instruct.engines.local.tokenizer import import_model_classes

import_model_classes()  # without scikit-learn, as engines do
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    GPTBigCodeConfig,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Starcoder2Config,
)

CORPUS = [
    "1. Instruction:\nAdd two numbers.\n\n1. Output:\ndef add(a, b):\n    return a + b\n###\n",
    "2. Instruction:\nReverse a string without a loop.\n\n2. Output:\nreturn text[::-1]\n###\n",
    "You are writing tasks. Every task must differ from the ones above it in its verb, its subject and its difficulty.",
    "The quick brown fox jumps over the lazy dog, 0 1 2 3 4 5 6 7 8 9, ÄÖÜ é ß.",
]
CONTEXT = 1024


def build_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a few lines; the end token is `<|end|>` by default."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    named = {"eos_token": "<|end|>", "pad_token": "<|pad|>"} if not special else special
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=CONTEXT, **named)


def build_config(architecture: str, vocabulary: int) -> Any:
    """Return the smallest working configuration of an architecture."""
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        **ends,
    }
    if architecture == "gpt_bigcode":
        return GPTBigCodeConfig(
            vocab_size=vocabulary, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4, n_inner=64, **ends
        )
    if architecture == "starcoder2":
        return Starcoder2Config(**shape)
    if architecture == "qwen3":
        return Qwen3Config(**shape, head_dim=8)
    kinds = {
        "llama": LlamaConfig, "mistral": MistralConfig, "gpt_neox": GPTNeoXConfig, "opt": OPTConfig, "bloom": BloomConfig,
        "gptj": GPTJConfig, "falcon": FalconConfig, "mixtral": MixtralConfig,
    }  # fmt: skip
    own = {
        "mistral": {"sliding_window": 24},
        "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
        "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "rotary_dim": 4},
        "falcon": {"num_kv_heads": 2, "new_decoder_architecture": True},
        "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    }
    return kinds[architecture](**{**shape, **own.get(architecture, {})})


def save_tiny_model(architecture: str, folder: Path, tokenizer: PreTrainedTokenizerFast | None = None) -> Path:
    """Save model and tokenizer into a folder, from which the Auto classes load them."""
    tokenizer = tokenizer or build_tokenizer()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(build_config(architecture, len(tokenizer)))
    # Small initial weights make every logit nearly equal; larger ones make choices that rounding does not flip.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
