"""Score seed tasks with their own answers and with those of others: python benchmarks/scores.py MODEL [NUMBER]

An answer that belongs to another task must have a higher IFD: the task does not help to predict it.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from self_instruct.records import json_line
from self_instruct.review.scores import score, scorer_of
from self_instruct.seeds import load_seeds
from self_instruct.user_files import read_objects

SEEDS = Path(__file__).parents[1] / "seeds" / "general.jsonl"


def scored(rows: list[dict[str, Any]], model: str, folder: Path, name: str) -> list[dict[str, Any]]:
    """Score rows by the code of the command, and return them with their scores."""
    place, out = folder / f"{name}.jsonl", folder / f"{name}_scored.jsonl"
    place.write_bytes(b"".join(map(json_line, rows)))
    given = {"input_path": [str(place)], "output_path": str(out), "model_name_or_path": model}
    score(scorer_of(given))
    return [row for _, row in read_objects(out, "the scores")]


def main() -> None:
    """Print the table: IFD and likelihood with both answers, and the processor time with loading."""
    model, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seeds = load_seeds(SEEDS)[:number]
    own = [{"instruction": seed.instruction, "input": seed.input, "output": seed.output} for seed in seeds]
    others = [{**row, "output": own[(at + number // 3) % number]["output"]} for at, row in enumerate(own)]
    print(f"{'answer':<22}{'mean IFD':>10}{'median':>10}{'1 or more':>11}{'likelihood':>12}{'CPU s':>10}")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("own", own), ("of another task", others)):
            begun = time.process_time()
            found[name] = scored(rows, model, Path(folder), name.split()[0])
            seconds, ifd = time.process_time() - begun, [row["ifd"] for row in found[name]]
            likelihood = median(row["likelihood"] for row in found[name])
            print(
                f"{name:<22}{sum(ifd) / number:>10.3f}{median(ifd):>10.3f}{sum(one >= 1 for one in ifd):>11}"
                f"{likelihood:>12.3f}{seconds:>10.1f}"
            )
    by_answer = {row["output"]: row["ifd"] for row in found["of another task"]}
    higher = sum(by_answer[row["output"]] > row["ifd"] for row in found["own"])
    print(f"{higher} of {number} answers have a higher IFD after another task than after their own")


if __name__ == "__main__":
    main()
