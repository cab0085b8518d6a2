"""Compare decoding on a CPU with grouped-query attention and with the attention of transformers, which copies keys and values.

python benchmarks/attention.py MODEL --threads 1

Both continue the same prompts greedily, one after the other, in the back-end `slots`. Times are CPU time without the prefill.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local import slot_model
from self_instruct.engines.local.active_request import ActiveRequest, EndRules
from self_instruct.engines.local.attention import group_queries
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.slots import SlotBackend
from self_instruct.engines.local.stopping import StopMatcher


def decode(name: str, grouped: bool, prompt: int, rows: int, new: int) -> tuple[float, list[list[int]]]:
    """Return the CPU seconds of decoding, and the tokens of each row."""
    with mock.patch.object(slot_model, "group_queries", group_queries if grouped else lambda model: False):
        model, tokenizer, _ = load_model(name)
        backend = SlotBackend(model, EndRules(frozenset(), StopMatcher(tokenizer)), rows)
    draw, greedy = random.Random(prompt), Sampling(max_new_tokens=new, temperature=0)
    drawn = [[draw.randrange(len(tokenizer)) for _ in range(prompt)] for _ in range(rows)]
    waiting = [ActiveRequest(Request(at, "", "", (), str(at)), tokens, greedy) for at, tokens in enumerate(drawn)]
    started = list(waiting)
    backend.advance(waiting, lambda tokens: None, lambda: False)
    begun = time.process_time()
    while backend.active:
        backend.advance(waiting, lambda tokens: None, lambda: False)
    return time.process_time() - begun, [row.tokens for row in started]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--new", type=int, default=24, help="new tokens for each row")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("prompt  copied tokens/s  grouped tokens/s  ratio  equal texts")
    for prompt in (64, 512, 1200):
        (slow, theirs), (fast, ours) = (
            decode(options.model, grouped, prompt, options.rows, options.new) for grouped in (False, True)
        )
        tokens, equal = options.rows * (options.new - 1), sum(a == b for a, b in zip(theirs, ours, strict=True))
        rates = tokens * options.threads / slow, tokens * options.threads / fast
        print(
            f"{prompt:>6}  {rates[0]:>15.1f}  {rates[1]:>16.1f}  {slow / fast:>5.2f}  {equal} of {options.rows}",
            flush=True,
        )


if __name__ == "__main__":
    main()
