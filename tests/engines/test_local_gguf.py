"""GGUF files are converted to model folders once, and mistakes with them are reported."""

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter, TokenType
from transformers import AutoModelForCausalLM, AutoTokenizer

from self_instruct.engines import load_reader
from self_instruct.engines.local.gguf import model_path
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.tokenizer import load_text
from self_instruct.errors import UserError

TEXT = "Add 1234 numbers.\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "self_instruct" / "gguf"


def write_gguf(folder: Path, file: Path, pre: str = "gpt-2", leave_out: str | None = None) -> Path:
    """Write the tiny Llama of a folder as a GGUF file, without the tensor `leave_out`."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    config, core = model.config, tokenizer.backend_tokenizer
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    tokens = tokenizer.convert_ids_to_tokens(range(config.vocab_size))
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(tokens) - 2))
    writer.add_token_merges([" ".join(pair) for pair in merges(core)])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    for name, tensor in tensors(model).items():
        if name != leave_out:
            writer.add_tensor(name, tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's weights by their names in GGUF, queries and keys in the order of llama.cpp."""
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    weights = model.state_dict()
    found = {
        "token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }  # fmt: skip
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    for layer in range(model.config.num_hidden_layers):
        for ours, theirs in parts.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            if theirs in heads:
                split = weight.reshape(heads[theirs], 2, -1, weight.shape[1])
                weight = split.transpose(1, 2).reshape(weight.shape)
            found[f"blk.{layer}.{theirs}.weight"] = weight.contiguous()
    return found


def merges(core: object) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(core.to_str())["model"]["merges"]]


def test_gguf_file_gives_the_same_logits_and_tokens_as_the_original_model(tiny_llama, tmp_path):
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    model, tokenizer, _ = load_model(str(file))
    original, own, _ = load_model(str(tiny_llama))
    ids = own(TEXT, return_tensors="pt")["input_ids"]
    assert tokenizer(TEXT)["input_ids"] == ids[0].tolist()
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, original(ids).logits)
    assert tokenizer.padding_side == "left"
    assert (model.config.eos_token_id, tokenizer.eos_token_id) == (1, 1)


def test_folder_with_one_gguf_file_is_converted_once(tiny_llama, tmp_path, cache):
    (tmp_path / "model").mkdir()
    file = write_gguf(tiny_llama, tmp_path / "model" / "tiny.gguf")
    folder = Path(model_path(str(tmp_path / "model")))
    assert folder.parent == cache
    written = (folder / "model.safetensors").stat()
    assert model_path(str(file)) == str(folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written.st_mtime_ns
    assert not list(cache.glob("*.part"))


def test_revision_changes_with_the_content_of_the_gguf_file(tiny_llama, tmp_path):
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    first = load_text(str(file))[2]
    assert first == load_text(str(file))[2]
    write_gguf(tiny_llama, file, pre="smollm")
    assert load_text(str(file))[2] != first


def test_counting_tokens_converts_no_weights(tiny_llama, tmp_path, cache):
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    reader = load_reader("openai", str(file), None, elsewhere=True)
    assert (reader.prompt_tokens(TEXT, "") > 0, reader.context_length) == (True, 1024)
    assert not list(cache.glob("*/*.safetensors"))


def test_numbers_are_split_into_digits_if_the_file_says_so(tiny_llama, tmp_path, caplog):
    tokenizer = load_text(str(write_gguf(tiny_llama, tmp_path / "tiny.gguf", pre="smollm")))[0]
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("Add 1234")
    assert [piece for piece, _ in pieces] == ["Add", "Ġ", "1", "2", "3", "4"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_unknown_pre_tokenizer_is_a_warning(tiny_llama, tmp_path, caplog):
    load_text(str(write_gguf(tiny_llama, tmp_path / "tiny.gguf", pre="some-new")))
    assert "does not know the pre-tokenizer 'some-new'" in caplog.text


def test_missing_gguf_package_is_named(tiny_llama, tmp_path, monkeypatch):
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"tiny\.gguf: reading a GGUF file needs the package gguf: pip install"):
        model_path(str(file))


def test_a_missing_gguf_file_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"none\.gguf: there is no such file"):
        model_path(str(tmp_path / "none.gguf"))


def test_folder_with_two_gguf_files_asks_for_one(tiny_llama, tmp_path):
    (tmp_path / "model").mkdir()
    file = write_gguf(tiny_llama, tmp_path / "model" / "a.gguf")
    shutil.copyfile(file, file.with_name("b.gguf"))
    with pytest.raises(UserError, match=r"holds 2 GGUF files \(a\.gguf, b\.gguf\); name one of them"):
        model_path(str(file.parent))


@pytest.mark.parametrize("damage", ["truncated", "text", "missing"])
def test_damaged_gguf_file_is_named_and_leaves_no_folder(tiny_llama, tmp_path, cache, damage):
    file = write_gguf(
        tiny_llama, tmp_path / "tiny.gguf", leave_out="blk.1.ffn_up.weight" if damage == "missing" else None
    )
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "text":
        file.write_text("version https://git-lfs.github.com/spec/v1")
    message = "1 weights are missing" if damage == "missing" else "transformers cannot read this GGUF file"
    with pytest.raises(UserError, match=message) as caught:
        load_model(str(file))
    assert f"--model_name_or_path {file}" in str(caught.value)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
