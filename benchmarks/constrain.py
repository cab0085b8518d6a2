"""Compare runs of a model with and without --constrain: python benchmarks/constrain.py MODEL [REQUESTS [RECIPE]]

Both runs send the same number of requests with --recipe RECIPE (chat or few_shot) and seeds/general.jsonl, at most 128 new
tokens each, and have a process of their own. The table has the replies to requests for new tasks, the blocks in them, readable
or not, and the processor time of each run with its child processes. Requests for answers are not constrained.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from transformers import AutoTokenizer

import self_instruct as si
from self_instruct.engines.local.constraint import Patterns
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.patterns import task_list_pattern
from self_instruct.generation.task_lists import TASKS, listed_tasks
from self_instruct.runs.journal import Entry, read_journal

SEEDS = Path(__file__).parents[1] / "seeds" / "general.jsonl"
CHAT = "chat"


def blocks_of(recipe: str, entry: Entry) -> list[str | None]:
    """Return the reason why a block cannot be read, or None, for each block of a reply."""
    if recipe == CHAT:
        return [verdict.drop and verdict.drop.reason for verdict in listed_tasks(False, entry)]
    return [block.reason for block in INSTRUCTION_OUTPUT.parse(entry.answer, entry.number, entry.cut)]


def measures(model: str, requests: int, recipe: str, constrain: bool) -> dict[str, float]:
    """Return the counts of one run."""
    with tempfile.TemporaryDirectory() as folder:
        config = si.Config(
            model_name_or_path=model, recipe=recipe, seed_tasks_path=str(SEEDS), batch_dir=folder, engine="huggingface",
            max_requests=requests, max_new_tokens=128, constrain=constrain,
        )  # fmt: skip
        run = si.generate(config)
        entries, report = read_journal(Path(folder)), run.report
    lists = [entry for entry in entries if entry.step == 1]
    blocks = [reason for entry in lists for reason in blocks_of(recipe, entry)]
    lost = Counter(reason for reason in blocks if reason)
    return {
        "requests for tasks": len(lists),
        "their new tokens": sum(entry.completion_tokens for entry in lists),
        "replies that ended": sum(not entry.cut for entry in lists),
        "blocks": len(blocks),
        "readable blocks": len(blocks) - lost.total(),
        "cut_by_length": lost["cut_by_length"],
        "accepted records": report["accepted"],
        "all new tokens": report["tokens"]["completion"],
        "ms a masked token": mask_milliseconds(model, recipe, lists) if constrain else 0,
    }


def mask_milliseconds(model: str, recipe: str, lists: list[Entry]) -> float:
    """Return the processor time of the masks for each token of these replies, with that of compiling the patterns."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    patterns = Patterns(tokenizer, {tokenizer.eos_token_id})
    pattern = task_list_pattern(TASKS, False) if recipe == CHAT else INSTRUCTION_OUTPUT.pattern()
    patterns.matcher(pattern)  # reads the vocabulary, once in a run
    begun, drawn = time.process_time(), 0
    for entry in lists:
        matcher = patterns.matcher(pattern)
        for token in tokenizer(entry.text, add_special_tokens=False)["input_ids"]:
            matcher.allowed(len(tokenizer))
            matcher.accept(token)
            drawn += 1
    return 1000 * (time.process_time() - begun) / drawn


def measured(model: str, requests: str, recipe: str, constrain: bool) -> dict[str, float]:
    """Return the counts of one run in a process of its own, and the user processor time of all its processes."""
    command = [sys.executable, __file__, model, requests, recipe, str(constrain)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    written = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run failed: {' '.join(command)}")
    return {**json.loads(written), "user CPU seconds": used.ru_utime}


def main() -> None:
    """Print the table, or the counts of one run if the fourth argument says which."""
    given = sys.argv[1:]
    model, requests, recipe, *which = [*given, *("", "24", CHAT)[len(given) :]]
    if which:
        sys.stdout.write(json.dumps(measures(model, int(requests), recipe, which[0] == "True")))
        return
    constrained, free = (measured(model, requests, recipe, constrain) for constrain in (True, False))
    print(f"{'':<22} {'free':>10} {'--constrain':>12}")
    for name, value in free.items():
        shown = [f"{found:,.2f}" if isinstance(found, float) else f"{found:,}" for found in (value, constrained[name])]
        print(f"{name:<22} {shown[0]:>10} {shown[1]:>12}")


if __name__ == "__main__":
    main()
