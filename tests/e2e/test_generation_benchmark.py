"""The benchmark of the engines in its small form."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def benchmark(folder: Path) -> list[str]:
    command = [sys.executable, "benchmarks/generation.py", "--quick", "--folder", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command += ["--only", "Llama float32 slots"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [line for line in run.stdout.splitlines() if line.startswith("| Llama")]


def test_the_small_form_prints_a_table_and_does_not_measure_twice(tmp_path):
    (row,) = benchmark(tmp_path)
    kept = (tmp_path / "results.json").read_text(encoding="utf-8")
    (result,) = json.loads(kept).values()
    wanted = sum(item["wanted"] for item in json.loads(Path(result["work"]).read_text(encoding="utf-8")))
    assert result["tokens"] == wanted > 0
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["Llama", "float32", "1 x 1", "slots"]
    assert cells[5] == f"{wanted / result['seconds']:.1f}"
    assert [cell.split("|")[6] for cell in benchmark(tmp_path)] == [row.split("|")[6]]
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == kept
