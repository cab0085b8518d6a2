"""Provide instructions for benchmarks: those of files, then similar synthetic ones; without files, synthetic ones only."""

import json
import random
from pathlib import Path

NEAR_COPIES = 0.3  # share of texts made from an earlier one by changing up to half of its words


def instructions(paths: list[str], number: int) -> tuple[list[str], int]:
    """Return this many instructions, those from files shuffled with a fixed seed, and the number of those from files.

    Synthetic ones have the lengths and word frequencies of the real ones; without a file, log-normal lengths and Zipf
    frequencies.
    """
    rng = random.Random(0)
    real = [json.loads(line)["instruction"] for path in paths for line in Path(path).read_bytes().splitlines()]
    rng.shuffle(real)
    if number <= len(real):
        return real[:number], number
    if real:
        words = [word for text in real for word in text.split()]
        lengths = [len(text.split()) for text in real]
    else:
        vocabulary = [f"word{at}" for at in range(50_000)]
        words = rng.choices(vocabulary, [1 / (at + 1) for at in range(len(vocabulary))], k=500_000)
        lengths = [max(3, round(rng.lognormvariate(2.5, 0.6))) for _ in range(20_000)]
    texts = list(real)
    while len(texts) < number:
        if texts and rng.random() < NEAR_COPIES:
            text = rng.choice(texts).split()
            for _ in range(rng.randint(0, max(1, len(text) // 2))):
                text[rng.randrange(len(text))] = rng.choice(words)
        else:
            text = rng.choices(words, k=rng.choice(lengths))
        texts.append(" ".join(text))
    return texts, len(real)
