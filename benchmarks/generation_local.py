"""One method of this project, or `generate` of transformers, for generation.py: prints one line of JSON with its figures."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from workload import measure

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.active_request import ActiveRequest, EndRules
from self_instruct.engines.local.hardware import keep_freed_memory
from self_instruct.engines.local.paged import PagedBackend
from self_instruct.engines.local.placement import device
from self_instruct.engines.local.slots import SlotBackend

Method = Callable[[list["Row"]], None]


class NeverReached:
    """Matches no stop text, because each output has a given length."""

    def reached(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        """Return False."""
        return False


@dataclass(eq=False)
class Row(ActiveRequest):
    """A request that ends after a given number of tokens."""

    wanted: int = 0

    def accept(self, token: int, rules: EndRules) -> None:
        """Take the next token."""
        self.tokens.append(token)
        if len(self.tokens) >= self.wanted:
            self.reason = "stop"


def generate(model: Any, size: int) -> Method:
    """Run `generate` in left-padded batches of prompts of similar length; a batch ends when its longest output is done."""

    def run(rows: list[Row]) -> None:
        ordered = sorted(rows, key=lambda row: len(row.prompt))
        for begin in range(0, len(rows), size):
            batch = ordered[begin : begin + size]
            width, longest = max(len(row.prompt) for row in batch), max(row.wanted for row in batch)
            padding = [width - len(row.prompt) for row in batch]
            ids = [[0] * pad + row.prompt for pad, row in zip(padding, batch, strict=True)]
            mask = [[0] * pad + [1] * (width - pad) for pad in padding]
            config = GenerationConfig(
                max_new_tokens=longest, do_sample=True, temperature=1.0, top_p=0.95, top_k=0, pad_token_id=0
            )
            found = model.generate(
                torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=config,
            )
            for row, text in zip(batch, found[:, width:].tolist(), strict=True):
                row.tokens = text[: row.wanted]

    return run


def engine(backend: Any) -> Method:
    """Run a back-end of this project."""

    def run(rows: list[Row]) -> None:
        waiting, ended = list(rows), 0
        while ended < len(rows):
            ended += len(backend.advance(waiting, lambda drawn: None, lambda: False))

    return run


def load(options: argparse.Namespace, work: list[dict[str, Any]]) -> Callable[[list[dict[str, Any]]], int]:
    """Load the model and make a method ready."""
    dtype = getattr(torch, options.dtype)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype).eval().to(device())
    model.generation_config = GenerationConfig()
    sampling = Sampling(max_new_tokens=max(item["wanted"] for item in work), temperature=1.0, top_p=0.95)
    rules = EndRules(frozenset(), NeverReached())  # type: ignore[arg-type]
    if options.method in ("slots", "paged"):
        keep_freed_memory()
    if options.method == "slots":
        method = engine(SlotBackend(model, rules, options.rows))
    elif options.method == "paged":
        positions = model.config.get_text_config().max_position_embeddings
        method = engine(PagedBackend(model, sampling, rules, options.rows, positions))
    else:
        method = generate(model, options.rows)

    def run(work: list[dict[str, Any]]) -> int:
        requests = [Request(at, "", "", (), str(at)) for at in range(len(work))]
        rows = [
            Row(request, item["prompt"], sampling, wanted=item["wanted"])
            for request, item in zip(requests, work, strict=True)
        ]
        method(rows)
        return sum(len(row.tokens) for row in rows)

    return run


if __name__ == "__main__":
    measure(load)
