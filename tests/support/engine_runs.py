"""Run the in-process engine on tiny models, request by request."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model

TOKENS = 16
GREEDY = Sampling(max_new_tokens=TOKENS, temperature=0)
SAMPLED = Sampling(max_new_tokens=TOKENS, temperature=1.0, top_p=0.9)
HEADER = "You are writing tasks. Every task must differ from the ones above it in its verb, its subject and its difficulty.\n"
PROMPTS = ["Add", "Reverse a string without a loop.", "The quick brown fox jumps", "1. Instruction:\n" * 9, "é"]


def engine_of(folder: Path, sampling: Sampling = GREEDY, double: bool = True, **options) -> HuggingFaceEngine:
    times = tuple(path.stat().st_mtime_ns for path in sorted(folder.iterdir()))
    model, tokenizer, revision = deepcopy(_loaded(folder, times))
    # In double precision, rounding differences between batches are too small to change a token.
    return HuggingFaceEngine(model.double() if double else model, tokenizer, revision, sampling, **options)


@lru_cache(maxsize=2)
def _loaded(folder: Path, times: tuple[int, ...]) -> Any:
    """Return the model of a folder, loaded again only if its files have changed: a copy takes a tenth of the time."""
    return load_model(str(folder))


def generate_alone(engine: HuggingFaceEngine, prompt: str) -> tuple[str, int, int, str]:
    """Return what `generate` writes for a prompt: text, prompt tokens, completion tokens and finish reason."""
    model, tokenizer = engine._model, engine._tokenizer
    ids = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
    tokens = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=TOKENS,
        do_sample=False,
        eos_token_id=1,
        pad_token_id=0,
    )
    new = tokens[0, ids.shape[1] :].tolist()
    text = tokenizer.decode([token for token in new if token > 1], clean_up_tokenization_spaces=False)
    return text, ids.shape[1], len(new), "stop" if new[-1] == 1 else "length"


def request(index: int, prompt: str, stop: tuple[str, ...] = (), sampling: Sampling | None = None) -> Request:
    return Request(index, prompt, "", stop, f"42:{index}", sampling)


def complete(engine: HuggingFaceEngine, requests: list[Request]) -> dict:
    engine.submit(requests)
    found = {}
    while completions := engine.poll():
        for item in completions:
            assert item.request not in found, "a request ended twice"
            found[item.request] = item
    return found
