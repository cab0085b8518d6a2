"""Generation speed of the back-ends on the same work in one run: python benchmarks/generation.py [--requests 32] [--rows 16]

Random weights, prompts of some 500 tokens that share the first half, output lengths log-normal (mean 155, 20 to 400), tokens
sampled. One prompt at a time is timed on the first few requests and compared by tokens a second. On an accelerator the
models are StarCoder2-shaped with 1 and 7 billion parameters in bfloat16; on a CPU, a GPTBigCode and a Llama of under 30
million in single precision.
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPTBigCodeConfig, LlamaConfig, Starcoder2Config

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.placement import device
from self_instruct.engines.rows import EndRules, Row
from self_instruct.engines.slots import SlotBackend
from self_instruct.engines.static import StaticBackend

VOCABULARY, SHARED, OWN, LONGEST = 8192, 256, (200, 300), 400
SAMPLING = Sampling(max_new_tokens=LONGEST, temperature=1.0, top_p=0.95)


class NeverReached:
    """No stop text: lengths are given."""

    def reached(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        """Never."""
        return False


@dataclass(eq=False)
class MeasuredRow(Row):
    """A row that ends after a given number of tokens."""

    wanted: int = 0

    def accept(self, token: int, rules: EndRules) -> None:
        """Takes the next token."""
        self.tokens.append(token)
        if len(self.tokens) >= self.wanted:
            self.reason = "stop"


def build_models() -> Iterator[tuple[str, Any]]:
    """Models by name, on this process's device."""
    place = device()
    if place.type == "cpu":
        shape = {"vocab_size": VOCABULARY, "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8}
        configs = [
            ("GPTBigCode", GPTBigCodeConfig(
                vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, n_positions=1024, n_embd=512, n_layer=8, n_head=8,
                multi_query=True)),
            ("Llama", LlamaConfig(
                **shape, intermediate_size=1408, num_key_value_heads=2, max_position_embeddings=1024)),
        ]  # fmt: skip
    else:
        configs = [
            (f"Starcoder2 {name}", Starcoder2Config(
                vocab_size=49152, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                num_attention_heads=heads, num_key_value_heads=groups, sliding_window=None, max_position_embeddings=4096))
            for name, width, layers, heads, groups in (("1B", 2048, 20, 16, 2), ("7B", 4608, 32, 36, 4))
        ]  # fmt: skip
    for name, config in configs:
        torch.manual_seed(0)
        dtype = torch.float32 if place.type == "cpu" else torch.bfloat16
        yield name, AutoModelForCausalLM.from_config(config, dtype=dtype).eval().to(place)


def build_rows(number: int) -> list[Row]:
    """The work: the same for every back-end."""
    rng = random.Random(1)
    shared = [rng.randrange(2, VOCABULARY) for _ in range(SHARED)]
    rows: list[Row] = []
    for index in range(number):
        own = [rng.randrange(2, VOCABULARY) for _ in range(rng.randint(*OWN))]
        wanted = min(LONGEST, max(20, round(rng.lognormvariate(4.84, 0.65))))
        rows.append(MeasuredRow(Request(index, "", "", (), str(index)), shared + own, wanted=wanted))
    return rows


def measure(backend: Any, rows: list[Row]) -> tuple[float, int, float]:
    """Tokens a second, forward steps, and seconds."""
    waiting, ended, steps = list(rows), 0, []
    begun = time.perf_counter()
    while ended < len(rows):
        ended += len(backend.advance(waiting, steps.append, lambda: False))
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    seconds = time.perf_counter() - begun
    return sum(len(row.tokens) for row in rows) / seconds, len(steps), seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--rows", type=int, default=16)
    options = parser.parse_args()
    rules = EndRules(frozenset(), NeverReached(), LONGEST)  # type: ignore[arg-type]
    print(f"{torch.get_num_threads()} threads, {device()}, {options.requests} requests, {options.rows} rows")
    print(f"{'model':<14} {'parameters':>10}  {'method':<22} {'tokens/s':>9} {'steps':>6} {'ratio':>6}")
    for name, model in build_models():
        size = sum(parameter.numel() for parameter in model.parameters())
        methods = (
            ("one prompt at a time", StaticBackend(model, 0, SAMPLING, rules, 1), max(4, options.requests // 4)),
            ("static batches", StaticBackend(model, 0, SAMPLING, rules, options.rows), options.requests),
            ("slots", SlotBackend(model, SAMPLING, rules, options.rows), options.requests),
        )
        measure(SlotBackend(model, SAMPLING, rules, options.rows), build_rows(2))  # warm
        first = None
        for method, backend, number in methods:
            speed, steps, _ = measure(backend, build_rows(number))
            first = first or speed
            print(
                f"{name:<14} {size / 1e6:>9.1f}M  {method:<22} {speed:>9.1f} {steps:>6} {speed / first:>6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
