"""Reading a model folder's tokenizer and context length without the model library."""

import json
import shutil

import pytest

from self_instruct.engines.local.tokenizer import (
    ModelReader,
    PromptEncoder,
    context_length,
    load_plain_folder,
    load_text,
)
from self_instruct.errors import UserError
from tests.support.runs import ROOT

PROMPTS = [("Write a task.\n\n", "1. Instruction:"), ("", "x"), ("Ünïcode \u202e 💡 1234567\t", "")]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|a|>{% endif %}"
)


@pytest.fixture
def folder(tiny_llama, tmp_path):
    return shutil.copytree(tiny_llama, tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("template", [None, TEMPLATE])
@pytest.mark.parametrize("which", ["demonstration model", "tiny llama"])
def test_plain_folder_gives_the_same_tokens_and_context_as_auto_tokenizer(which, template, folder, tmp_path):
    if which == "demonstration model":
        folder = shutil.copytree(ROOT / "demo_model", tmp_path / "demo", ignore=shutil.ignore_patterns("training*"))
    if template:
        (folder / "chat_template.jinja").write_text(template)
    plain, tokenizer, config = load_plain_folder(str(folder)), *load_text(str(folder))[:2]
    assert plain is not None and plain[1] == context_length(config, tokenizer) == 1024
    for prompt, opening in PROMPTS:
        assert PromptEncoder(plain[0]).encode(prompt, opening) == PromptEncoder(tokenizer).encode(prompt, opening)
    reader = ModelReader(str(folder))
    assert reader.model_revision == load_text(str(folder))[2] and reader.context_length == 1024


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}),
        ("config.json", {"auto_map": {"AutoConfig": "a.B"}}),
        ("config.json", {"text_config": {"max_position_embeddings": 8}}),
        ("config.json", {"max_position_embeddings": None}),
        ("config.json", {"max_position_embeddings": "1024"}),
    ],
)
def test_folder_with_missing_or_special_settings_is_left_to_auto_tokenizer(folder, file, changes):
    assert load_plain_folder(str(folder)) is not None
    edit(folder / file, **changes)
    assert load_plain_folder(str(folder)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\udcff"])
def test_broken_json_is_left_to_auto_tokenizer(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert load_plain_folder(str(folder)) is None


def test_broken_tokenizer_is_reported_by_auto_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    assert load_plain_folder(str(folder)) is None
    with pytest.raises(UserError, match="--model_name_or_path"):
        ModelReader(str(folder))


def test_folder_without_weights_is_refused_unless_the_model_is_elsewhere(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="safetensors"):
        ModelReader(str(folder))
    assert ModelReader(str(folder), elsewhere=True).context_length == 1024


def test_model_in_the_cache_of_the_hub_is_recorded_with_its_commit(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--ada--tiny"
    (repository / "refs").mkdir(parents=True)
    revisions = []
    for commit in ("1" * 40, "2" * 40):
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs" / "main").write_text(commit)
        revisions.append(ModelReader("ada/tiny").model_revision)
    assert revisions == ["1" * 40, "2" * 40]
    assert ModelReader("ada/tiny", revision="1" * 40).model_revision == "1" * 40
