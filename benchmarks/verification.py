"""Count what becomes of code that a small model writes and tests: python benchmarks/verification.py MODEL FOLDER [REQUESTS]

The model writes tests for twelve easy functions that are right; `verify` decides by all of a function's tests, and by the first
one. Then a run with --verify python begins from these tasks and sends REQUESTS (60) requests, with 4 answers to each task. The
same command continues after a stop.
"""

import json
import sys
from pathlib import Path

import self_instruct as si
from self_instruct.commands import verify

TASKS = (
    ("add(a, b)", "returns the sum of two numbers", "a + b"),
    ("is_even(n)", "returns True if a number is even", "n % 2 == 0"),
    ("maximum(numbers)", "returns the largest number in a list", "max(numbers)"),
    ("square(x)", "returns the square of a number", "x * x"),
    ("reverse(text)", "returns a string in reverse order", "text[::-1]"),
    ("count_words(text)", "returns the number of words in a string", "len(text.split())"),
    ("total(numbers)", "returns the sum of all numbers in a list", "sum(numbers)"),
    ("is_positive(n)", "returns True if a number is greater than zero", "n > 0"),
    ("last_item(items)", "returns the last item of a list", "items[-1]"),
    ("double(x)", "returns a number multiplied by two", "x * 2"),
    ("to_upper(text)", "returns a string in upper case", "text.upper()"),
    ("smallest(a, b)", "returns the smaller of two numbers", "a if a < b else b"),
)


def main(model: str, folder: Path, requests: int) -> None:
    """Print the outcomes of the tests, and the counts of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"id": f"easy_{at}", "instruction": f"Write a Python function {head} that {what}.",
         "output": f"def {head}:\n    return {result}"}
        for at, (head, what, result) in enumerate(TASKS, start=1)
    ]  # fmt: skip
    seeds = folder / "easy.jsonl"
    seeds.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tested = ["--input_path", str(seeds), "--output_path", str(folder / "tested.jsonl"), "--max_new_tokens", "120"]
    verify.main([*tested, "--model_name_or_path", model])
    verify.main([*tested[:4], "--num_tests", "1"])
    config = si.Config(
        model_name_or_path=model, seed_tasks_path=seeds, batch_dir=folder / "run", recipe="chat", num_answers=4,
        verify=["python"], num_instructions_to_generate=50, max_requests=requests, max_new_tokens=200,
        num_prompt_instructions=4, horizon=6, request_batch_size=6,
    )  # fmt: skip
    print(json.dumps(si.generate(config).report.get("verified", "no test was needed yet"), indent=2))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 60)
