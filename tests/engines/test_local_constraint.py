"""Patterns in the local engine: on a random-weight model, which follows no instruction, every completion matches."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from self_instruct.engines import load_engine
from self_instruct.engines.base import Sampling
from self_instruct.engines.local.active_request import ActiveRequest, EndRules
from self_instruct.engines.local.constraint import Patterns, draw_matching
from self_instruct.engines.local.sampling import draw_rows
from self_instruct.engines.local.stopping import StopMatcher
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.patterns import task_list_pattern
from self_instruct.generation.task_lists import listed_tasks
from self_instruct.review.judge import PATTERN, read_judgement
from self_instruct.runs.journal import Entry
from tests.review.test_consistency import prediction
from tests.support.engine_runs import complete, engine_of, request
from tests.support.tiny_models import save_tiny_model

LETTERS = list("abcdeAhilnpfurotvgd123456789: .,\n")
LIST = task_list_pattern(3, False)
SAMPLING = Sampling(400, temperature=1.0, top_p=1.0, constrain=True)
STOP = ("\n4.",)


@pytest.fixture(scope="module")
def letters(tmp_path_factory) -> Path:
    """A model whose tokens are single characters, so that line breaks are frequent."""
    return model_of([*LETTERS, "ab", ".\n", "\n2", " a"], tmp_path_factory.mktemp("letters"))


def model_of(tokens: list[str], folder: Path) -> Path:
    """Save a random-weight model with these tokens."""
    vocabulary = {token: at for at, token in enumerate(map(encoded, dict.fromkeys(["<|pad|>", "<|end|>", *tokens])))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<|pad|>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), pre_tokenizers.Split("", "isolated")]
    )
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    return save_tiny_model("llama", folder, tokenizer)


def encoded(token: str) -> str:
    return token if token.startswith("<") else token.replace(" ", "Ġ").replace("\n", "Ċ")


def asked(index: int, pattern: str | None = LIST, stop: tuple[str, ...] = STOP):
    return replace(request(index, "abc" * (1 + index % 3), stop), pattern=pattern)


def readable(item) -> list[bool]:
    entry = Entry(0, [], [], 1, "", item.text, item.finish_reason, 1, 1, 0, None)
    return [verdict.drop is None for verdict in listed_tasks(False, entry)]


def test_every_list_is_readable_with_a_pattern_and_none_without(letters):
    found = complete(engine_of(letters, SAMPLING, batch_size=4), [asked(at) for at in range(4)])
    assert {item.finish_reason for item in found.values()} == {"stop"}
    assert all(re.fullmatch(LIST, item.text.rstrip()) for item in found.values()), [
        item.text for item in found.values()
    ]
    assert [readable(item) for item in found.values()] == [[True] * 3] * 4
    short = replace(SAMPLING, max_new_tokens=100)
    free = complete(engine_of(letters, short, batch_size=4), [asked(at, None) for at in range(4)])
    assert all(readable(item) != [True] * 3 for item in free.values())


PARTS = (
    "\n\n4. Output:\n",
    "\n###\n",
    "5. Instruction:\n",
    "Instruction:",
    "\n\n5. Output:\n",
    "\n---",
    "```\n",
    "# ",
    "1. ",
)


def test_blocks_are_whole_with_a_pattern_and_not_without(tmp_path):
    tokens = [*sorted(set("".join(PARTS))), *PARTS]
    engine = engine_of(model_of(tokens, tmp_path), replace(SAMPLING, max_new_tokens=250))
    pattern = INSTRUCTION_OUTPUT.pattern()
    found = complete(engine, [asked(at, (pattern, None)[at % 2], ()) for at in range(8)])
    whole = {
        at: {block.reason for block in INSTRUCTION_OUTPUT.parse(item.text, 4)} == {None}
        for at, item in found.items()
        if item.finish_reason == "stop"
    }
    assert any(at % 2 == 0 for at in whole) and all(whole[at] for at in whole if at % 2 == 0)
    assert not all(whole[at] for at in whole if at % 2)


def test_rows_are_masked_one_by_one_in_every_backend(letters):
    """Rows with a list, with a judgement and without a pattern share batches, and each has the text that it has alone."""
    sampling = replace(SAMPLING, max_new_tokens=20, repetition_penalty=1.3)
    requests = [asked(at, (LIST, "(?:good|bad)", None)[at % 3], ()) for at in range(6)]
    alone = {
        at: complete(engine_of(letters, sampling, batch_size=1), [item])[at].text for at, item in enumerate(requests)
    }
    for backend, lag in (("slots", 1), ("static", 0)):
        engine = engine_of(letters, sampling, backend=backend, batch_size=4)
        if backend == "slots":
            engine._backend._lag = lag  # as on an accelerator
        found = complete(engine, requests)
        assert {at: item.text for at, item in found.items()} == alone, (backend, lag)
    assert {alone[at] for at in range(1, 6, 3)} <= {"good", "bad"}
    free = complete(engine_of(letters, replace(sampling, constrain=False)), requests[2:3])
    assert alone[2] == free[2].text


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_judgements_end_by_themselves_and_are_read(letters, temperature):
    sampling = replace(SAMPLING, temperature=temperature, top_k=5)
    found = complete(engine_of(letters, sampling), [asked(at, PATTERN, ()) for at in range(3)])
    assert {item.finish_reason for item in found.values()} == {"stop"}
    assert all(read_judgement(prediction(item.text, None, None, None)).scores for item in found.values())


def test_a_restarted_row_begins_its_pattern_again(letters):
    engine = engine_of(letters, SAMPLING)
    tokenizer = engine._tokenizer
    patterns = Patterns(tokenizer, {1})
    row = ActiveRequest(asked(0, "a.[bc]"), [1], SAMPLING, matcher=patterns.matcher("a.[bc]"))
    rules = EndRules(frozenset({1}), StopMatcher(tokenizer))
    for _ in range(2):
        for text in "a.b":
            token = tokenizer.convert_tokens_to_ids(text)
            assert row.reason is None and row.matcher.allowed(50)[token]
            row.accept(token, rules)
        assert row.reason == "stop" and len(row.tokens) == 3
        row.restart()


def test_a_number_that_is_rounded_to_1_draws_an_allowed_token(letters):
    patterns = Patterns(engine_of(letters)._tokenizer, {1})
    logits, uniform = torch.zeros(2, 50), torch.ones(2)
    free = draw_rows(logits, [SAMPLING] * 2, uniform, None)
    chosen = draw_matching(logits, [SAMPLING] * 2, uniform, None, [patterns.matcher("[ab]"), None])
    tokens = engine_of(letters)._tokenizer.convert_ids_to_tokens(chosen[:1])
    assert tokens[0] in "ab" and chosen[1] == free[1]
    logits[0] = torch.nan
    assert draw_matching(logits, [SAMPLING] * 2, uniform, None, [patterns.matcher("a"), None])[0] == -1


def test_a_pattern_that_cannot_be_used_ends_its_request_alone(letters):
    found = complete(engine_of(letters, SAMPLING), [asked(0, "a("), asked(1, "good|bad")])
    assert "llguidance cannot follow the pattern" in found[0].error and found[1].finish_reason == "stop"
    row = ActiveRequest(asked(0), [1], SAMPLING, matcher=Patterns(engine_of(letters)._tokenizer, {1}).matcher("a"))
    row.accept(9, EndRules(frozenset({1}), StopMatcher(engine_of(letters)._tokenizer)))
    assert row.reason == "error" and "llguidance" in row.error


def test_mistakes_have_one_message(letters, monkeypatch):
    with pytest.raises(UserError, match="'paged', but it would ignore --constrain"):
        engine_of(letters, SAMPLING, backend="paged")
    slow = type("Slow", (), {"is_fast": False})()
    with pytest.raises(UserError, match=r"needs a model with a tokenizer\.json"):
        Patterns(slow, {1}).matcher("a")
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(UserError, match=r"needs the package llguidance .*pip install -e '\.\[constrain\]'"):
        load_engine("huggingface", str(letters), None, SAMPLING)
