"""The workload of generation.py: models with random weights, prompts with a shared prefix, and output lengths."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPTBigCodeConfig, LlamaConfig, Starcoder2Config

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.active_request import ActiveRequest, EndRules
from self_instruct.engines.local.placement import device


@dataclass(frozen=True)
class Work:
    """Lengths in tokens: the prefix that all prompts share, and the bounds of each prompt's own part and of the outputs."""

    vocabulary: int = 8192
    shared: int = 256
    own: tuple[int, int] = (200, 300)
    outputs: tuple[int, int] = (20, 400)
    log_mean: float = 4.84
    log_spread: float = 0.65

    @property
    def sampling(self) -> Sampling:
        """The sampling options of each row."""
        return Sampling(max_new_tokens=self.outputs[1], temperature=1.0, top_p=0.95)


QUICK = Work(512, 40, (10, 20), (3, 24), 2.2, 0.6)


class NeverReached:
    """A stop matcher that never matches, because lengths are fixed."""

    def reached(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        """Never."""
        return False


@dataclass(eq=False)
class MeasuredRow(ActiveRequest):
    """A row that ends after a given number of tokens."""

    wanted: int = 0

    def accept(self, token: int, rules: EndRules) -> None:
        """Accept the next token."""
        self.tokens.append(token)
        if len(self.tokens) >= self.wanted:
            self.reason = "stop"


def build_rows(work: Work, number: int) -> list[MeasuredRow]:
    """Return rows with prompts and output lengths, which are the same for every method."""
    rng = random.Random(1)
    shared = [rng.randrange(2, work.vocabulary) for _ in range(work.shared)]
    rows = []
    for index in range(number):
        own = [rng.randrange(2, work.vocabulary) for _ in range(rng.randint(*work.own))]
        length = round(rng.lognormvariate(work.log_mean, work.log_spread))
        wanted = min(work.outputs[1], max(work.outputs[0], length))
        rows.append(MeasuredRow(Request(index, "", "", (), str(index)), shared + own, work.sampling, wanted=wanted))
    return rows


def build_models(quick: bool) -> Iterator[tuple[str, Any]]:
    """Yield models by name on this process's device: tiny ones, or models for a CPU or an accelerator."""
    place = device()
    if quick or place.type == "cpu":
        width, layers, inner = (64, 2, 128) if quick else (512, 8, 1408)
        vocabulary = (QUICK if quick else Work()).vocabulary
        configs: list[tuple[str, Any]] = [
            ("GPTBigCode", GPTBigCodeConfig(
                vocab_size=vocabulary, bos_token_id=0, eos_token_id=1, n_positions=1024, n_embd=width, n_layer=layers,
                n_head=8, multi_query=True)),
            ("Llama", LlamaConfig(
                vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=8,
                num_key_value_heads=2, intermediate_size=inner, max_position_embeddings=1024)),
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


def bytes_read(model: Any, rows: list[MeasuredRow], steps: int) -> float:
    """Return the bytes that this many steps must read: all weights in each step, and the keys and values of each row."""
    weights = sum(parameter.nbytes for parameter in model.parameters())
    with torch.inference_mode():
        ids = torch.ones(1, 8, dtype=torch.long, device=model.device)
        layers = model(input_ids=ids, use_cache=True).past_key_values.layers
    token = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers) / 8
    return steps * weights + token * sum(len(row.tokens) * (len(row.prompt) + len(row.tokens) / 2) for row in rows)


def bandwidth() -> float:
    """Return the bytes per second that a copy of a large tensor reads and writes, the best of several."""
    source = torch.ones(1 << (26 if device().type == "cpu" else 30), dtype=torch.uint8, device=device())
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        target.copy_(source)
        synchronise()
        best = min(best, time.perf_counter() - begun)
    return 2 * source.nbytes / best


def synchronise() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


class PeakMemory:
    """Peak bytes since this was created: of the accelerator, or on a CPU the growth of the process."""

    def __init__(self) -> None:
        self._cuda = torch.cuda.is_available()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        elif Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
            self._before = _status("VmRSS")

    def bytes(self) -> float:
        """Return the peak; NaN on a system that does not report it."""
        if self._cuda:
            return torch.cuda.max_memory_allocated()
        return _status("VmHWM") - self._before if hasattr(self, "_before") else float("nan")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
