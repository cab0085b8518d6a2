"""Loading models, and the messages for those that cannot be loaded."""

import pytest

from self_instruct.engines.local.loading import load_model
from self_instruct.errors import UserError
from tests.support.tiny_models import save_tiny_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/folder", "there is no such folder"),
        ("nobody/no-such-model", "cannot be loaded"),
    ],
)
def test_unknown_models_are_named(name, message):
    with pytest.raises(UserError, match=message) as caught:
        load_model(name)
    assert name in str(caught.value)


def test_a_folder_without_weights_is_named(tiny_llama, tmp_path):
    for path in tiny_llama.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"safetensors"):
        load_model(str(tmp_path))


def test_the_revision_of_a_folder_changes_with_its_content(tiny_llama, tmp_path):
    other = save_tiny_model("gpt_bigcode", tmp_path)
    assert load_model(str(tiny_llama))[2] == load_model(str(tiny_llama))[2]
    assert load_model(str(tiny_llama))[2] != load_model(str(other))[2]


@pytest.mark.parametrize("damage", ["truncated", "text", "layers", "heads", "config"])
def test_a_damaged_model_is_named(tiny_llama, tmp_path, damage):
    for path in tiny_llama.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "text":
        weights.write_text("version https://git-lfs.github.com/spec/v1")
    else:
        change = {"layers": ('"num_hidden_layers": 2', '"num_hidden_layers": 4'), "config": ("{", "["),
                  "heads": ('"num_attention_heads": 4', '"num_attention_heads": 0')}[damage]  # fmt: skip
        config.write_text(config.read_text().replace(*change))
    with pytest.raises(UserError, match="--model_name_or_path") as caught:
        load_model(str(tmp_path))
    assert damage != "layers" or "weights are missing" in str(caught.value)
