"""The benchmark of the engines in its small form."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import generation
import generation_speeds
import workload

from tests.support.runs import start_copy


def test_the_small_form_prints_a_table_and_does_not_measure_twice(tmp_path, monkeypatch, capsys):
    command = ["generation.py", "--quick", "--folder", str(tmp_path), "--only", "Llama", "slots"]
    monkeypatch.setattr(sys, "argv", command)

    def benchmark() -> list[str]:
        generation.main()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("| Llama")]

    def measured_here(dtype: str, threads: int) -> generation.Speeds:
        monkeypatch.setattr(sys, "argv", ["generation_speeds.py", dtype])
        generation_speeds.main()
        monkeypatch.setattr(sys, "argv", command)
        return generation.Speeds(**json.loads(capsys.readouterr().out))

    # A new process would import torch again.
    monkeypatch.setattr(generation, "measure_speeds", measured_here)
    forking = SimpleNamespace(
        Popen=lambda command, **_: start_copy(*command[1:]), PIPE=None, TimeoutExpired=subprocess.TimeoutExpired
    )
    monkeypatch.setattr(generation, "subprocess", forking)
    (row,) = printed = benchmark()
    kept = (tmp_path / "results.json").read_text(encoding="utf-8")
    result = json.loads(kept)["Llama float32 slots 1x1 4 8"]
    wanted = sum(item["wanted"] for item in json.loads(Path(result["work"]).read_text(encoding="utf-8")))
    assert result["tokens"] == wanted > 0
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["Llama", "float32", "1 x 1", "slots"]
    assert cells[5] == f"{wanted / result['seconds']:.1f}"
    assert re.fullmatch(r"\d+% (memory|matrix)", cells[7])
    monkeypatch.setattr(generation, "measure", None)
    assert benchmark() == printed
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == kept


def test_the_roofline_counts_weights_once_a_step_and_shared_prompts_once():
    part = generation.Part("m", Path(), Path(), "float32", "slots", 1, 2, 2, 4)
    rows = [{"prompt": [1, 2, 3, 4], "wanted": 6}, {"prompt": [1, 2, 9], "wanted": 2}]
    size, speeds = workload.ModelSize(layers=100, head=10, token=3), generation.Speeds(bytes=2.0, operations=4.0)
    # Six steps, for the longest output, read 110 weights each. Each token written reads the keys and values of those before it.
    read = 6 * 110 * 4 + (6 * (4 + 3) + 2 * (3 + 1)) * 3 * 4
    # The prompts have 2 + 2 + 1 tokens, 8 are written, and both processes share the machine.
    operations = 2 * (100 * 5 + 110 * 8)
    assert generation.least_seconds(part, size, rows, speeds) == {
        "memory": 2 * read / 2,
        "matrix": 2 * operations / 4,
    }


def test_the_size_of_a_model_leaves_out_embeddings(tmp_path):
    for shape, tied in zip(workload.TINY, (True, False), strict=True):
        shape.save(tmp_path / shape.name, 100, "float32")
        size = workload.model_size(tmp_path / shape.name)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / shape.name)
        every = sum(weights.numel() for weights in model.parameters())
        positions = 1024 * 64 if tied else 0
        assert size.head == 512 * 64 and size.layers == every - positions - 512 * 64 * (1 if tied else 2)
        cache = model(torch.zeros(1, 1, dtype=torch.long), use_cache=True).past_key_values
        assert size.token == sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
