"""Scores by a model's losses: against a direct computation, resumed, cut, and with the user's mistakes."""

import json
import math
from pathlib import Path

import pytest
import torch

from self_instruct.commands import score
from self_instruct.datasets.history import Declared, history
from self_instruct.engines.local import likelihood
from self_instruct.engines.local.likelihood import AnswerModel, batches, load_answer_model
from self_instruct.errors import UserError
from self_instruct.records import Record
from tests.support.runs import rows

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LINES = [
    {"id": "a", "instruction": "Add two numbers.", "output": "def add(a, b):\n    return a + b", "extra": [1]},
    {"id": "b", "instruction": "Reverse a string.", "input": "lazy dog", "output": "god yzal"},
    {"id": "c", "instruction": "Say nothing.", "output": " "},
    {"id": "d", "instruction": "task " * 200, "output": "a"},
    {"id": "e", "instruction": "Count.", "output": "0 1 2 3 4 5 6 7 8 9 " * 9},
    {"id": "f", "instruction": "Add two numbers.", "output": "ÄÖÜ \ud800"},
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return tmp_path


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> AnswerModel:
    return load_answer_model(str(tiny_llama))


def scored(folder: Path, *options: object) -> int:
    argv = [folder / "in.jsonl", "--output_path", folder / "out.jsonl", "--max_length", 96, *options]
    return score.main([str(part) for part in argv])


def direct(model: AnswerModel, before: list[int], after: list[int]) -> float:
    """Return the mean loss as transformers computes it, for one row without padding."""
    ids = torch.tensor([[*before, *after]])
    labels = ids.clone()
    labels[:, : len(before)] = -100
    with torch.inference_mode():
        return float(model._model(input_ids=ids, labels=labels).loss)


def test_losses_in_batches_are_those_of_single_rows_by_transformers(model: AnswerModel, monkeypatch) -> None:
    found = [model.encode(line["instruction"], line["output"]) for line in LINES if line["output"].strip()]
    pairs = [(item.prompt, item.answer) for item in found] + [(item.opening, item.answer) for item in found]
    expected = [direct(model, *pair) for pair in pairs]
    assert model.losses(pairs) == pytest.approx(expected, rel=1e-5) and len(set(map(len, pairs[0]))) > 1
    monkeypatch.setattr(model, "_last_logits_only", False)  # a model whose forward computes all logits
    assert model.losses(pairs) == pytest.approx(expected, rel=1e-5)


def test_a_batch_that_does_not_fit_into_memory_is_read_row_by_row(model: AnswerModel, monkeypatch) -> None:
    whole = model._losses

    def small(rows):
        if len(rows) > 1:
            raise torch.OutOfMemoryError
        return whole(rows)

    pairs = [([5, 6], [7, 8, 9]), ([4], [8, 7, 6])]
    expected = whole(pairs)
    monkeypatch.setattr(model, "_losses", small)
    assert model.losses(pairs) == pytest.approx(expected, rel=1e-5)


def test_the_opening_is_the_chat_without_the_task(tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    plain = likelihood.PromptEncoder(tokenizer).before_answer("Sort.")
    assert [tokenizer.decode(ids) for ids in plain] == [
        "### Instruction:\nSort.\n\n### Response:\n",
        "### Response:\n",
    ]
    tokenizer.chat_template = TEMPLATE
    assert [tokenizer.decode(ids) for ids in likelihood.PromptEncoder(tokenizer).before_answer("Sort.")] == [
        "<|user|>Sort.\n<|assistant|>",
        "<|assistant|>",
    ]
    tokenizer.chat_template = "[{% for m in messages %}{{ m.content }}{% endfor %}]"  # opens no answer
    prompt, opening = likelihood.PromptEncoder(tokenizer).before_answer("Sort.")
    assert tokenizer.decode(prompt) == "[Sort.]" and opening == prompt[:1]


def test_rows_are_batched_by_length_within_the_limits() -> None:
    lengths = [5, 5000, 1, 2000, 2048, 3, *[2] * 40]
    found = batches(lengths)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    assert [1] in found and [4, 3] in found and max(map(len, found)) == likelihood.BATCH_ROWS


def test_scores_become_columns_and_every_record_without_is_counted(place: Path, tiny_llama: Path, capsys) -> None:
    assert scored(place, "--model_name_or_path", tiny_llama) == 0
    steps = history(place / "out.jsonl", Declared({}, {}, {}))
    assert [step.what for step in steps] == ["scored: 4 records"] and "score \\\n    --input_path " in steps[0].command
    out, losses = rows(place / "out.jsonl"), {row["record"]: row for row in rows(place / "out.scores.jsonl")}
    assert [{key: row[key] for key in line} for row, line in zip(out, LINES, strict=True)] == LINES
    assert [row["id"] for row in out if row["ifd"] is None] == ["c", "d"] and len(losses) == 6
    for row in (out[0], out[1], out[4]):
        one = losses[row["id"]]
        assert row["ifd"] == pytest.approx(one["loss"] / one["loss_alone"], abs=1e-6)
        assert row["likelihood"] == pytest.approx(math.exp(-one["loss"]), abs=1e-6)
    assert losses["e"]["cut"] > 0 and losses["a"]["cut"] == 0
    report = json.loads((place / "out.score_report.json").read_text())
    assert report["scored"] == 4 and report["answers_cut"] == 1
    assert report["unscored"] == {"no_answer": 1, "prompt_too_long": 1}
    printed = capsys.readouterr().out
    assert "4 of 6 records have scores." in printed and "1 with the end of the answer left out" in printed
    assert "the task alone fills the model's context" in printed


def test_a_stopped_command_continues_and_scores_need_no_model(place: Path, tiny_llama: Path, monkeypatch) -> None:
    assert scored(place, "--model_name_or_path", tiny_llama) == 0
    whole, journal = (place / "out.jsonl").read_bytes(), place / "out.scores.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(b"".join(content.splitlines(keepends=True)[:3]) + b'{"record": "f", "rec')
    read: list[Record] = []
    encode = AnswerModel.encode
    monkeypatch.setattr(AnswerModel, "encode", lambda self, task, text: read.append(task) or encode(self, task, text))
    assert scored(place, "--model_name_or_path", tiny_llama) == 0 and read
    assert (place / "out.jsonl").read_bytes() == whole
    assert sorted(journal.read_bytes().splitlines()) == sorted(content.splitlines())
    read.clear()
    assert scored(place, "--model_name_or_path", tiny_llama) == 0 and not read
    assert scored(place, "--scores", "likelihood") == 0
    assert [set(row) & {"ifd", "likelihood"} for row in rows(place / "out.jsonl")] == [{"likelihood"}] * 6
    with pytest.raises(UserError, match="--max_length was 96 and is now 64"):
        scored(place, "--model_name_or_path", tiny_llama, "--max_length", 64)
    with pytest.raises(UserError, match="and is now other"):
        scored(place, "--model_name_or_path", "other")


def test_likelihood_alone_reads_no_answer_without_its_task(place: Path, tiny_llama: Path, monkeypatch) -> None:
    calls: list[int] = []
    losses = AnswerModel.losses
    monkeypatch.setattr(AnswerModel, "losses", lambda self, rows: calls.append(len(rows)) or losses(self, rows))
    assert scored(place, "--model_name_or_path", tiny_llama, "--scores", "likelihood") == 0
    assert sum(calls) == 4
    assert (
        scored(place, "--model_name_or_path", tiny_llama) == 0 and sum(calls) == 12
    )  # both losses of each record are computed again
    assert rows(place / "out.jsonl")[0]["ifd"] > 0


def test_a_signal_ends_it_between_batches(place: Path, tiny_llama: Path, monkeypatch, capsys) -> None:
    import os
    import signal

    losses = AnswerModel.losses

    def hit(self, rows):
        os.kill(os.getpid(), signal.SIGTERM)
        return losses(self, rows)

    monkeypatch.setattr(AnswerModel, "losses", hit)
    monkeypatch.setattr(likelihood, "BATCH_ROWS", 1)
    assert scored(place, "--model_name_or_path", tiny_llama) == 128 + signal.SIGTERM
    assert "Stopped: SIGTERM was received.\n3 of 6 records are scored" in capsys.readouterr().out
    assert not (place / "out.jsonl").exists() and len(rows(place / "out.scores.jsonl")) == 3


def test_mistakes_are_one_message(place: Path) -> None:
    for options, message in [
        (["--scores", "ifx"], "did you mean ifd"),
        ([], "holds no scores yet; give a model"),
        (["--model_name_or_path", "./none"], "none"),
    ]:
        with pytest.raises(UserError, match=message):
            scored(place, *options)
    (place / "in.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no row"):
        scored(place)
