"""Completions from a seeded generator: whole blocks, near-copies, broken blocks, and some cut by the length limit."""

import json
import random
from pathlib import Path

NOUNS = "ledger orchard kettle tariff glacier violin sandwich comet ferry lantern quarry thimble meadow turbine parcel".split()
VERBS = "Sort Count Merge Describe Translate Estimate Compare Validate Encode Rotate Invert Sketch Rank Refute".split()
EXTRAS = (
    "slowly backwards twice underwater tonight alphabetically by weight for children in French using fractions".split()
)


def instruction(rng: random.Random) -> str:
    words = [rng.choice(VERBS), "the", *rng.sample(NOUNS, rng.randint(3, 7)), *rng.sample(EXTRAS, rng.randint(1, 4))]
    return " ".join(words) + "."


def block(number: int, text: str, output: str) -> str:
    return f"{number}. Instruction:\n{text}\n\n{number}. Output:\n{output}\n###\n"


def completion(rng: random.Random, earlier: list[str]) -> tuple[str, str]:
    """Return text that continues an open block, and its finish reason."""
    number, blocks = 5, []
    for _ in range(rng.randint(1, 5)):
        text = instruction(rng)
        fate = rng.random()
        if earlier and fate < 0.2:
            text = rng.choice(earlier).replace("the ", "every ")
        whole = block(number, text, f"answer {rng.randint(0, 999)}")
        if 0.2 < fate < 0.3:
            whole = whole.replace("Output", "Result")
        elif 0.3 < fate < 0.36:
            whole = block(number, "Write a program that waits.", "ok")
        blocks.append(whole)
        earlier.append(text)
        number += 1 if rng.random() < 0.8 else 2
    text = "".join(blocks).split("\n", 1)[1]
    return (text[: -rng.randint(8, 20)], "length") if rng.random() < 0.2 else (text, "stop")


def write_script(path: Path, size: int, seed: int = 7) -> Path:
    """Write a script file for the scripted engine, with a completion for each of the first `size` requests."""
    rng, earlier = random.Random(seed), []
    rows = [dict(zip(("text", "finish_reason"), completion(rng, earlier), strict=True)) for _ in range(size)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
