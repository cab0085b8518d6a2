"""The benchmark of the generation back-ends, with its smallest settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(
    r"(?P<model>\w+) +(?P<size>[\d.]+)M +(?P<method>one at a time|static batches|paged|slots) +(?P<rows>\d+) +(?P<speed>[\d.]+)"
    r" +(?P<one>[\d.]+) +(?P<static>[\d.]+|nan) +(?P<steps>\d+) +(?P<idle>\d+)% +(?P<peak>\d+|nan) +(?P<roofline>\d+)%"
)


def is_ratio(printed: str, speed: str, base: str) -> bool:
    """Return whether a printed ratio agrees with two printed speeds, within their rounding."""
    low = (float(speed) - 0.05) / (float(base) + 0.05)
    high = (float(speed) + 0.05) / max(float(base) - 0.05, 1e-9)
    return low - 0.0051 <= float(printed) <= high + 0.0051


def test_the_quick_benchmark_prints_a_plausible_table():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "benchmarks/generation.py", "--quick", "--cpu_time", "--requests", "9"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = [found.groupdict() for found in map(LINE.match, run.stdout.splitlines()) if found]
    for model in ("GPTBigCode", "Llama"):
        found = {line["method"]: line for line in lines if line["model"] == model}
        assert {"one at a time", "static batches", "slots"} <= set(found)
        assert ("paged" in found) != ("paged is left out: " in run.stdout)
        one, static, slots = (found[name] for name in ("one at a time", "static batches", "slots"))
        assert (one["rows"], static["rows"], slots["rows"]) == ("1", "4", "4")
        assert one["idle"] == "0" and 0 <= int(slots["idle"]) <= int(static["idle"]) < 100
        assert int(slots["steps"]) <= int(static["steps"])
        for line in found.values():
            assert is_ratio(line["one"], line["speed"], one["speed"])
        assert is_ratio(slots["static"], slots["speed"], static["speed"])
