"""Run the in-process engine on tiny models, request by request."""

from pathlib import Path

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model

GREEDY = Sampling(max_new_tokens=24, temperature=0)
SAMPLED = Sampling(max_new_tokens=24, temperature=1.0, top_p=0.9)
HEADER = "You are writing tasks. Every task must differ from the ones above it in its verb, its subject and its difficulty.\n"
PROMPTS = ["Add", "Reverse a string without a loop.", "The quick brown fox jumps", "1. Instruction:\n" * 9, "é"]


def engine_of(folder: Path, sampling: Sampling = GREEDY, double: bool = True, **options) -> HuggingFaceEngine:
    model, tokenizer, revision = load_model(str(folder))
    # In double precision, rounding differences between batches are too small to change a token.
    return HuggingFaceEngine(model.double() if double else model, tokenizer, revision, sampling, **options)


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
