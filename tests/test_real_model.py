"""The real chat model that tests can use."""

from pathlib import Path

import pytest

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.tokenizer import load_text
from tests.real_model import real_model


@pytest.fixture(scope="module")
def folder() -> Path:
    return real_model()


def test_real_model_names_the_capital_of_france(folder):
    model, tokenizer, revision = load_model(str(folder))
    engine = HuggingFaceEngine(model, tokenizer, revision, Sampling(max_new_tokens=16, temperature=0), 1)
    engine.submit([Request(0, "What is the capital of France?", "", (), "0")])
    (answer,) = engine.poll()
    assert (answer.text, answer.finish_reason) == ("The capital of France is Paris.", "stop")


def test_real_model_tokenizes_as_smollm2_does(folder):
    tokenizer, config, _ = load_text(str(folder))
    text = "In 1234 there were  56 cats.\n"
    expected = ["In", "Ġ", "1", "2", "3", "4", "Ġthere", "Ġwere", "ĠĠ", "5", "6", "Ġcats", ".", "Ċ"]
    assert tokenizer.tokenize(text) == expected
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.startswith("<|im_start|>system\n")
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer(chat)["input_ids"][0] == 1
    assert config.max_position_embeddings == 8192
