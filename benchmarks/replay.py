"""Time how long a launch needs to replay a long journal: python benchmarks/replay.py --folder FOLDER

A real launch with the scripted engine makes the first requests of the journal. The others are appended, with one task each; a
tenth of these tasks are near-copies. Then the same command continues the run, with a limit that the journal has
already reached, so that it replays the journal and ends. Prints what the command says of the replay.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = [f"word{at}" for at in range(20_000)]
ZIPF = list(accumulate(1 / (at + 1) for at in range(len(WORDS))))
NEAR_COPIES = 0.1
BEGUN = 64
"""The requests of the real launch."""


def texts(size: int) -> list[str]:
    """Return completions with one task each."""
    rng, instructions, found = random.Random(7), list[list[str]](), list[str]()
    for at in range(size):
        words = rng.choices(WORDS, cum_weights=ZIPF, k=max(6, round(rng.lognormvariate(2.7, 0.4))))
        if at and rng.random() < NEAR_COPIES:
            words = list(rng.choice(instructions))
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        instructions.append(words)
        output = " ".join(rng.choices(WORDS, cum_weights=ZIPF, k=rng.randint(20, 60)))
        found.append(f"{' '.join(words).capitalize()}.\n\n4. Output:\n{output}.\n###\n")
    return found


def launch(script: Path, folder: Path, requests: int) -> str:
    """Generate or continue until a number of requests, and return what the command prints."""
    command = [
        sys.executable, ROOT / "instruction_io" / "instruction_output.py", "--engine", "scripted", "--script_path", script,
        "--batch_dir", folder, "--seed_tasks_path", ROOT / "seeds" / "general.jsonl", "--num_prompt_instructions", 3,
        "--num_instructions_to_generate", 10**7, "--max_requests", requests, "--min_yield", 0,
    ]  # fmt: skip
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout + done.stderr


def lengthen(journal: Path, written: list[str], size: int) -> None:
    """Append entries to a journal until it has one for each text up to a size."""
    lines = journal.read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[-1])
    with journal.open("a", encoding="utf-8") as file:
        for request in range(len(lines), size):
            tokens = len(written[request].split())
            entry.update(request=request, text=written[request], completion_tokens=tokens)
            file.write(json.dumps(entry) + "\n")


def main() -> None:
    """Make the journals and replay them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="a new folder for the runs")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 100_000, 200_000])
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    written, script = texts(max(options.sizes)), options.folder / "script.jsonl"
    script.write_text("".join(json.dumps({"text": text, "finish_reason": "stop"}) + "\n" for text in written))
    print("completions  whole command, s  of it on a processor, s  the command says")
    for size in options.sizes:
        folder = options.folder / str(size)
        launch(script, folder, BEGUN)
        lengthen(folder / "completions.jsonl", written, size)
        begun, before = time.monotonic(), os.times()
        shown = launch(script, folder, size)
        took, after = time.monotonic() - begun, os.times()
        busy = after.children_user + after.children_system - before.children_user - before.children_system
        print(f"{size:>11,}  {took:>16.1f}  {busy:>24.1f}  {'; '.join(re.findall(r'Replayed .*', shown))}", flush=True)


if __name__ == "__main__":
    main()
