"""Folders and configurations that are not a causal language model are refused before any weights are read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, BertModel, GenerationConfig, LlamaConfig

from self_instruct.engines.base import Sampling
from self_instruct.engines.local import loading
from self_instruct.engines.local.generation_settings import unused_settings
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.model_kinds import check_architecture, check_folder, check_vocabulary
from self_instruct.engines.local.tokenizer import ModelReader
from self_instruct.errors import UserError

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@pytest.fixture
def copy(tiny_llama, tmp_path):
    """Return a copy of the tiny model that the test may damage."""
    for path in tiny_llama.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def keep_only(folder: Path, *names: str) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def adapter(folder: Path) -> None:
    keep_only(folder, *TOKENIZER)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "ada/base"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")


def pointer(name: str):
    def spoil(folder: Path) -> None:
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")

    return spoil


def shards(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00003.safetensors")
    named = {f"w{number}": f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))


def checkpoints(folder: Path) -> None:
    (folder / "checkpoint-500").mkdir()
    for path in list(folder.glob("*.*")):
        path.rename(folder / "checkpoint-500" / path.name)


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


FOLDERS = {
    "adapter": (adapter, r"is an adapter .*\(ada/base\) as --model_name_or_path, and this folder as --adapter"),
    "empty": (keep_only, "the folder is empty"),
    "tokenizer": (lambda folder: keep_only(folder, *TOKENIZER), "holds a tokenizer only"),
    "diffusers": (lambda folder: (folder / "model_index.json").write_text("{}"), "diffusers pipeline"),
    "checkpoints": (checkpoints, "folders inside it do; give one of them: .*/checkpoint-500"),
    "makers_format": (
        lambda folder: (keep_only(folder, *TOKENIZER), (folder / "params.json").write_text("{}")), "its publisher's own format",
    ),
    "pointer": (pointer("model.safetensors"), "model.safetensors is a Git LFS pointer .*git lfs pull"),
    "pointer_tokenizer": (pointer("tokenizer.json"), "tokenizer.json is a Git LFS pointer"),
    "shards": (shards, "2 of 3 files with weights .* are missing, for example model-00002-of-00003"),
    "cut": (cut_short, r"model.safetensors is damaged: it has [\d,]+ bytes of [\d,]+ bytes;"),
    "other_name": (
        lambda folder: (folder / "model.safetensors").rename(folder / "weights.safetensors"), "neither model.safetensors nor",
    ),
    "pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "pytorch_model.bin is a pickle",
    ),
    "onnx": (
        lambda folder: (folder / "model.safetensors").rename(folder / "model.onnx"), "only model.onnx for ONNX",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_wrong_folder_is_refused_with_the_reason(copy, kind):
    spoil, message = FOLDERS[kind]
    spoil(copy)
    with pytest.raises(UserError, match=message) as caught:
        ModelReader(str(copy))
    assert str(caught.value).startswith(f"--model_name_or_path {copy}: ")


def test_complete_folders_pass(tiny_llama):
    check_folder("m", tiny_llama)
    ModelReader(str(tiny_llama))


@pytest.mark.parametrize("name", ["a/b/c", "no such name", "../no-such-model", "owner/na me"])
def test_a_name_that_the_hub_cannot_have_is_not_looked_up(name):
    with pytest.raises(UserError, match="there is no such folder"):
        ModelReader(name)


def test_a_file_given_in_place_of_its_folder_is_refused(tiny_llama):
    with pytest.raises(UserError, match="is a file; give the folder that holds it"):
        ModelReader(str(tiny_llama / "model.safetensors"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "is an encoder .bert., which cannot continue"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "classifier or reward model"),
        ({"model_type": "llama", "quantization": {"group_size": 64, "bits": 4}}, "quantized by MLX"),
    ],
)  # fmt: skip
def test_configurations_of_other_kinds_of_models_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        check_architecture("m", config)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "is_encoder_decoder": False},
        {"model_type": "llama", "architectures": None},
        {},
    ],
)
def test_configurations_of_decoders_pass(config):
    check_architecture("m", config)


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertModel])
def test_an_encoder_with_all_its_weights_is_refused(copy, kind):
    keep_only(copy, *TOKENIZER)
    settings = BertConfig(
        vocab_size=400, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    kind(settings).save_pretrained(copy)
    with pytest.raises(UserError, match=r"is an encoder \(bert\), which cannot continue a text"):
        load_model(str(copy))


def test_a_t5_folder_is_refused_although_config_json_does_not_call_it_an_encoder_decoder(copy):
    (copy / "config.json").write_text('{"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}')
    with pytest.raises(UserError, match="is an encoder-decoder"):
        ModelReader(str(copy))


@pytest.mark.parametrize(("method", "package"), [("awq", "gptqmodel"), ("gptq", "optimum|gptqmodel|GPU")])
def test_the_package_that_reads_quantized_weights_is_named(copy, monkeypatch, method, package):
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 128, "zero_point": True}
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(loading, "loading_options", lambda *_: pytest.fail("the weights would be read"))
    with pytest.raises(UserError, match=rf"its weights are quantized \({method}\), .*({package})"):
        load_model(str(copy))


@pytest.mark.parametrize(("tokens", "rows"), [(400, 300), (100, 300), (32_001, 32_000)])
def test_a_tokenizer_of_another_model_is_refused(tokens, rows):
    with pytest.raises(
        UserError, match=f"has {tokens:,} tokens and the model {rows:,}; the tokenizer belongs to another"
    ):
        check_vocabulary("m", tokens, rows)


@pytest.mark.parametrize(("tokens", "rows"), [(300, 300), (50_257, 51_200), (259, 384), (0, 300), (300, None)])
def test_padded_vocabularies_pass(tokens, rows):
    check_vocabulary("m", tokens, rows)


def test_the_vocabulary_is_compared_when_a_folder_is_read(copy):
    config = copy / "config.json"
    config.write_text(re.sub(r'"vocab_size": \d+', '"vocab_size": 100', config.read_text()))
    with pytest.raises(UserError, match="the tokenizer belongs to another model"):
        ModelReader(str(copy))


def test_an_unknown_model_without_network_is_refused_before_transformers_is_imported(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = (
        "import sys; from self_instruct.engines import check_model; from self_instruct.errors import UserError\n"
        "try: check_model('huggingface', 'nobody/nothing')\n"
        "except UserError as error: print('transformers' in sys.modules, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.match(r"False --model_name_or_path nobody/nothing: cannot be loaded .* check the name", said)


# ---- adapters


@pytest.fixture(scope="module")
def lora(tiny_llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    from peft import LoraConfig, get_peft_model  # takes half a second

    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), settings).save_pretrained(folder)
    return folder


def test_an_adapter_is_merged_into_its_model(tiny_llama, lora):
    plain, _, revision = load_model(str(tiny_llama))
    merged, _, changed = load_model(str(tiny_llama), adapter=str(lora))
    assert type(merged) is type(plain)
    assert changed == ModelReader(str(tiny_llama), adapter=str(lora)).model_revision
    assert changed.startswith(revision + "+local-")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not merged.state_dict()[name].equal(plain.state_dict()[name])


def test_an_adapter_of_another_model_is_refused(copy, lora):
    config = copy / "config.json"
    keep_only(copy, "config.json", *TOKENIZER)
    settings = json.loads(config.read_text()) | {"hidden_size": 16}
    config.write_text(json.dumps(settings))
    AutoModelForCausalLM.from_config(LlamaConfig(**settings)).save_pretrained(copy)
    with pytest.raises(
        UserError, match=r"--adapter .*: cannot be added to --model_name_or_path .*; it was trained on"
    ):
        load_model(str(copy), adapter=str(lora))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "holds no adapter_config.json"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "holds no adapter_model.safetensors"),
        (
            lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}'),
            "PROMPT_TUNING",
        ),
    ],
)
def test_a_folder_that_is_not_an_adapter_is_refused(tiny_llama, lora, tmp_path, spoil, message):
    for path in lora.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        ModelReader(str(tiny_llama), adapter=str(tmp_path))


# ---- recommended settings


def test_recommended_settings_that_are_not_used_are_described():
    recommended = GenerationConfig(
        temperature=0.6, top_p=0.95, top_k=20, no_repeat_ngram_size=3, eos_token_id=2, do_sample=True
    )
    ours = Sampling(16, temperature=0.8, top_p=0.95)
    assert unused_settings(recommended, ours) == (
        "--temperature 0.6 (used: 0.8); --top_k 20 (used: 0); no_repeat_ngram_size 3, for which there is no option"
    )
    assert unused_settings(GenerationConfig(temperature=0.6, top_k=20), Sampling(16, temperature=0)) == ""
    assert unused_settings(GenerationConfig(), ours) == ""
