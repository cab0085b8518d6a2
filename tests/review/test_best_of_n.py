"""The best-of-n command: choices by a reward model, a judge and tests, stored scores, and error messages."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from self_instruct import convert
from self_instruct.commands import best_of_n, judge, verify
from self_instruct.engines.base import Request
from self_instruct.engines.local.reward import RewardModel
from self_instruct.errors import UserError
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate
from self_instruct.rules import sandbox
from self_instruct.rules.execution import running
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT, rows
from tests.support.tiny_models import build_config, build_tokenizer

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}"


class Writer(ChatModel):
    """Answers with texts of many lengths."""

    def _text(self, request: Request) -> str:
        text = super()._text(request)
        if not text.startswith("The answer to "):
            return text
        rng = random.Random(request.seed)
        return f"A reply of {rng.randint(1, 9)} lines\n" + "line " * rng.randint(1, 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best") / "run"
    given = {
        "num_instructions_to_generate": 6,
        "horizon": 4,
        "num_answers": 3,
        "recipe": "chat",
        "check_outputs": False,
    }
    seeds = str(ROOT / "seeds" / "general.jsonl")
    generate(Config(**given, seed_tasks_path=seeds, batch_dir=str(folder)), engine=Writer())
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaForSequenceClassification

    path, tokenizer = tmp_path_factory.mktemp("models") / "reward", build_tokenizer()
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(3)
    config = build_config("llama", len(tokenizer))
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def records(folder: Path, name: str = "best_of_n_instructions.jsonl") -> list[dict[str, Any]]:
    return rows(folder / name)


def test_the_answer_with_the_highest_reward_is_the_output_and_scores_are_stored(folder, reward, monkeypatch, capsys):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    assert best_of_n.main([str(folder), "--reward_model", str(reward), "--reward_batch_size", "4"]) == 0
    shown = capsys.readouterr().out
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(reward),
        AutoTokenizer.from_pretrained(reward),
    )
    before = {row["provenance"]["id"]: row for row in records(folder, "machine_generated_instructions.jsonl")}
    journal = {row["request"]: row for row in rows(folder / "completions.jsonl")}
    changed = 0
    assert len(records(folder)) == 6
    for row in records(folder):
        about, old = row["provenance"], before[row["provenance"]["id"]]
        answers = about["choice"]["answers"]
        for answer in answers if len(answers) > 1 else ():
            text = f"<user>{row['instruction']}<|end|><assistant>{answer['output']}<|end|>"
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
            assert answer["score"] == pytest.approx(model(ids).logits.item(), abs=1e-5)
        if len(answers) > 1:
            best = max(answers, key=lambda answer: answer["score"])
            worst = min(answers, key=lambda answer: answer["score"])
            assert (row["output"], best["mark"], worst["mark"]) == (best["output"], "chosen", "rejected")
            assert about["choice"]["by"] == "reward_model" and about["response"]["request"] == best["request"]
            tokens = about["response"]["tokens"]["completion"]
            assert tokens == journal[best["request"]]["completion_tokens"]
            changed += row["output"] != old["output"]
        assert {**row, "output": 0, "provenance": 0} == {**old, "output": 0, "provenance": 0}
    assert changed and f"{changed} outputs have changed" in shown
    report = json.loads((folder / "best_of_n_report.json").read_text())
    assert report["changed_outputs"] == changed and report["pairs"] == report["chosen_by"]["reward_model"]
    # A killed command keeps the scores on disk and computes only the others.
    whole, stored = (folder / "best_of_n_instructions.jsonl").read_bytes(), folder / "answer_scores.jsonl"
    lines = stored.read_bytes().splitlines(keepends=True)
    stored.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    scored = []
    score = RewardModel.scores
    monkeypatch.setattr(RewardModel, "scores", lambda *given: scored.extend(given[1]) or score(*given))
    assert best_of_n.main([str(folder), "--reward_model", str(reward), "--reward_batch_size", "4"]) == 0
    assert len(scored) == len(lines) - 5
    assert [(row["output"], row["provenance"]["response"]) for row in records(folder)] == [
        (row["output"], row["provenance"]["response"]) for row in map(json.loads, whole.splitlines())
    ]
    convert([str(folder / "best_of_n_instructions.jsonl")], to="preference", output_path=str(folder / "pairs.jsonl"))
    assert len(rows(folder / "pairs.jsonl")) == report["pairs"]


def test_an_answer_beyond_the_context_is_not_chosen(reward):
    model = RewardModel(str(reward))
    assert model.encode("Sort.", "x " * 3000) is None and model.encode("Sort.", "x")


def test_a_model_that_is_no_reward_model_is_refused(folder, reward, tmp_path):
    from transformers import LlamaForCausalLM

    tokenizer = build_tokenizer()
    for labels, problem in ((2, "has 2 labels"), (1, "1 weights are missing .* score.weight")):
        config = build_config("llama", len(tokenizer))
        config.num_labels = labels
        LlamaForCausalLM(config).save_pretrained(tmp_path / str(labels))
        tokenizer.save_pretrained(tmp_path / str(labels))
        with pytest.raises(UserError, match=f"--reward_model .*{problem}"):
            best_of_n.main([str(folder), "--reward_model", str(tmp_path / str(labels))])
    with pytest.raises(UserError, match=r"--reward_model .*nowhere"):
        best_of_n.main([str(folder), "--reward_model", "./nowhere"])


def test_commands_without_a_score_or_without_answers_are_refused(folder, reward, tmp_path):
    with pytest.raises(UserError, match="none of --run_tests, --judged and --reward_model"):
        best_of_n.main([str(folder)])
    with pytest.raises(UserError, match=r"--run_tests: .*holds no tests; run `self-instruct verify"):
        best_of_n.main([str(folder), "--run_tests"])
    with pytest.raises(
        UserError, match=r"--judged: .*no judgements of all answers to any record; run `self-instruct judge"
    ):
        best_of_n.main([str(folder), "--judged"])
    given = {
        "seed_tasks_path": str(ROOT / "seeds" / "general.jsonl"),
        "recipe": "chat",
        "max_requests": 8,
        "horizon": 2,
    }
    generate(Config(**given, batch_dir=str(tmp_path / "single")), engine=ChatModel())
    with pytest.raises(UserError, match="no record has several answers; generate with --num_answers"):
        best_of_n.main([str(tmp_path / "single"), "--reward_model", str(reward)])
    with pytest.raises(UserError, match="--all_answers: no record has several answers with an open choice"):
        judge.main([str(tmp_path / "single"), "--all_answers", "--engine", "scripted", "--script_path", "none.jsonl"])
    path = folder / "machine_generated_instructions.jsonl"
    broken = rows(path)
    broken[0]["provenance"]["choice"]["answers"] = [{"request": "1"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in broken))
    with pytest.raises(UserError, match="its answers are damaged"):
        best_of_n.main([str(folder), "--reward_model", str(reward)])


def test_the_answer_with_the_highest_mean_of_a_judge_is_the_output_and_a_stopped_judge_goes_on(
    folder, tmp_path, caplog
):
    path, stored = folder / "machine_generated_instructions.jsonl", folder / "judgements.jsonl"
    before = rows(path)
    before[0]["provenance"]["choice"]["by"] = "majority"
    most = max(before[1:], key=lambda row: len(row["provenance"]["choice"]["answers"]))
    most["provenance"]["choice"]["answers"][-1]["output"] = most["output"]  # the same text: judged once
    path.write_text("".join(json.dumps(row) + "\n" for row in before))
    means = [4, 4, 2, None, 4, 4, 3, 5, 2]
    texts = [f"helpful: {mean}, correct: {mean}, clear: {mean}\nverdict: bad" if mean else "Good." for mean in means]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps({"text": f"{text}\n###\n"}) + "\n" for text in texts))
    asking = [str(folder), "--all_answers", "--engine", "scripted", "--script_path", str(tmp_path / "script.jsonl")]
    assert judge.main(asking) == 0
    whole = stored.read_bytes().splitlines(keepends=True)
    names = [json.loads(line)["record"] for line in whole]
    score_of = dict(zip(names, means, strict=True))
    texts_of = [
        {row["output"], *(item["output"] for item in row["provenance"]["choice"]["answers"])} for row in before
    ]
    assert len(names) == len(score_of) == 1 + sum(map(len, texts_of[1:])), "a majority is not open"
    report = json.loads((folder / "judge_report.json").read_text())
    assert report["records"] == 6 and sum(report["other_answers"].values()) == len(names) - 6

    stored.write_bytes(b"".join(whole[:5]) + whole[5][:30])  # as a kill leaves it
    assert best_of_n.main([str(folder), "--judged"]) == 0
    assert re.search(r"holds no judgements of all answers to [1-4] of \d records", caplog.text)
    assert judge.main(asking) == 0
    again = stored.read_bytes().splitlines(keepends=True)
    assert again[:5] == whole[:5] and [json.loads(line)["record"] for line in again] == names
    assert best_of_n.main([str(folder), "--judged"]) == 0

    found = records(folder)
    assert found[0] == before[0]
    for row, old in zip(found[1:], before[1:], strict=True):
        about = row["provenance"]["choice"]
        if len(about["answers"]) == 1:
            assert row == old
            continue
        name, known = row["provenance"]["id"], [item for item in about["answers"] if item["score"] is not None]
        for item in about["answers"]:
            key = name if item["output"] == old["output"] else f"{name}:{item['request']}"
            assert item["score"] == score_of[key]
        best = max(known, key=lambda item: item["score"])  # the first of equal ones
        assert about["by"] == "judge" and row["output"] == best["output"]
        assert row["provenance"]["response"]["request"] == best["request"]
        marked = {item["mark"]: item["score"] for item in about["answers"] if item["mark"]}
        differ = len({item["score"] for item in known}) > 1
        worst = min(item["score"] for item in known)
        assert marked == ({"chosen": best["score"], "rejected": worst} if differ else {})
    assert None in score_of.values() and any(
        row["output"] != old["output"] for row, old in zip(found, before, strict=True)
    )
    convert([str(folder / "best_of_n_instructions.jsonl")], to="preference", output_path=str(folder / "pairs.jsonl"))
    assert (
        len(rows(folder / "pairs.jsonl")) == json.loads((folder / "best_of_n_report.json").read_text())["pairs"] == 1
    )


def test_code_that_passes_most_tests_is_the_output_and_nothing_runs_twice(folder, tmp_path, monkeypatch):
    try:
        sandbox.open_sandbox()
    except UserError as error:
        pytest.skip(str(error))
    path = folder / "machine_generated_instructions.jsonl"
    bodies = [["a - b", "abs(a) + abs(b)", "a + b"]] * 2 + [
        ["a + b", "a - b", "a - b"],
        ["a * b", "a * b + 0", "1 + b"],
    ]
    tests = ["assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(2, 0) == 2\n"] * 3 + [
        "assert add(1, 2) == 3\n"
    ]
    (kept, journal), ran = (rows(path)[:4], rows(folder / "completions.jsonl")), list[tuple[str, ...]]()
    for number, row in enumerate(kept):
        asked = [entry["request"] for entry in journal if entry.get("answers") == row["provenance"]["id"]][:3]
        codes = [f"```python\ndef add(a, b):\n    return {body}\n```" for body in bodies[number]]
        if number == 0:
            codes[2] = codes[2].replace("def add", "def plus")  # is called by that name
        answers = [{"request": at, "output": code} for at, code in zip(asked, codes, strict=True)]
        row["output"], row["provenance"]["choice"] = codes[0], {"by": "first", "answers": answers}
    kept[1]["provenance"]["choice"]["by"] = "majority"
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    (tmp_path / "tests.jsonl").write_text("".join(json.dumps({"text": f"{text}###\n"}) + "\n" for text in tests))
    real = running._run
    monkeypatch.setattr(
        running, "_run", lambda name, code, tests, where: ran.append((code, *tests)) or real(name, code, tests, where)
    )
    model = ["--engine", "scripted", "--script_path", str(tmp_path / "tests.jsonl"), "--test_seconds", "5"]
    assert verify.main([str(folder), *model]) == 0 and ran
    ran.clear()
    assert best_of_n.main([str(folder), "--run_tests"]) == 0
    assert len(ran) == 3 * 3 + 3 + 2 and not any("return a * b\n" in run[0] for run in ran)
    first, second, third, fourth = records(folder)
    assert first["output"].endswith("return a + b\n```") and first["provenance"]["choice"]["by"] == "tests"
    answers = first["provenance"]["choice"]["answers"]
    assert [(answer["score"], answer["mark"]) for answer in answers] == [(1, "rejected"), (2, None), (3, "chosen")]
    assert second == kept[1], "answers that agree keep the choice of the run"
    answers = third["provenance"]["choice"]["answers"]
    assert [(answer["score"], answer["mark"]) for answer in answers] == [(3, "chosen"), (1, "rejected"), (1, None)]
    assert [answer["score"] for answer in fourth["provenance"]["choice"]["answers"]] == [0, 0, 1]
    whole = (folder / "best_of_n_instructions.jsonl").read_bytes()
    ran.clear()
    assert best_of_n.main([str(folder), "--run_tests"]) == 0 and not ran
    assert (folder / "best_of_n_instructions.jsonl").read_bytes() == whole
