"""The work of generation.py: models, prompts that share their beginning, and lengths to generate.

No library outside Python's own is imported until a model is made, so that engines in other environments can use this module.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """Lengths in tokens: the beginning that all prompts share, bounds of the rest of each, and of the log-normal outputs."""

    vocabulary: int = 8192
    shared: int = 256
    own: tuple[int, int] = (100, 200)
    outputs: tuple[int, int] = (20, 200)
    log_mean: float = 4.2
    log_spread: float = 0.65

    @property
    def context(self) -> int:
        """The longest prompt with the longest output."""
        return self.shared + self.own[1] + self.outputs[1]


QUICK = Work(512, 40, (10, 20), (3, 24), 2.2, 0.6)


def write_work(path: Path, work: Work, number: int) -> None:
    """Write token ids of the prompts and the number of tokens wanted after each: the same for every method."""
    rng = random.Random(1)
    shared = [rng.randrange(2, work.vocabulary) for _ in range(work.shared)]
    rows = []
    for _ in range(number):
        own = [rng.randrange(2, work.vocabulary) for _ in range(rng.randint(*work.own))]
        wanted = min(work.outputs[1], max(work.outputs[0], round(rng.lognormvariate(work.log_mean, work.log_spread))))
        rows.append({"prompt": shared + own, "wanted": wanted})
    path.write_text(json.dumps(rows), encoding="utf-8")


@dataclass(frozen=True)
class Shape:
    """A model of random weights; `dtype` is the one it is saved in."""

    name: str
    architecture: str
    width: int
    layers: int
    heads: int
    groups: int
    inner: int
    vocabulary: int

    def save(self, folder: Path, context: int, dtype: str) -> None:
        """Write the model's folder, which has no tokenizer; nothing is done if it exists."""
        if folder.is_dir():
            return
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        torch.set_default_dtype(getattr(torch, dtype))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(self._config(context))
        part = folder.with_name(f"{folder.name}.part")
        model.save_pretrained(part)
        part.rename(folder)

    def _config(self, context: int) -> Any:
        from transformers import GPTBigCodeConfig, LlamaConfig, Starcoder2Config

        if self.architecture == "GPTBigCode":
            return GPTBigCodeConfig(
                vocab_size=self.vocabulary, bos_token_id=0, eos_token_id=1, n_positions=max(1024, context),
                n_embd=self.width, n_layer=self.layers, n_head=self.heads, n_inner=self.inner, multi_query=True,
            )  # fmt: skip
        common = {
            "vocab_size": self.vocabulary, "hidden_size": self.width, "num_hidden_layers": self.layers, "bos_token_id": 0,
            "num_attention_heads": self.heads, "num_key_value_heads": self.groups, "intermediate_size": self.inner,
            "eos_token_id": 1, "max_position_embeddings": max(1024, context),
        }  # fmt: skip
        if self.architecture == "Starcoder2":
            return Starcoder2Config(**common, sliding_window=None)
        return LlamaConfig(**common)


TINY = [Shape("GPTBigCode", "GPTBigCode", 64, 2, 4, 1, 128, 512), Shape("Llama", "Llama", 64, 2, 4, 2, 128, 512)]
SMALL = [
    Shape("GPTBigCode 26M", "GPTBigCode", 512, 8, 8, 1, 1408, 8192),
    Shape("Llama 31M", "Llama", 512, 8, 8, 2, 1408, 8192),
]
LARGE = [
    Shape("StarCoder2 1B", "Starcoder2", 2048, 20, 16, 2, 8192, 49152),
    Shape("StarCoder2 3B", "Starcoder2", 3072, 30, 24, 2, 12288, 49152),
    Shape("StarCoder2 7B", "Starcoder2", 4608, 32, 36, 4, 18432, 49152),
    Shape("Llama 8B", "Llama", 4096, 32, 32, 8, 14336, 128256),
]


@dataclass(frozen=True)
class ModelSize:
    """The numbers of a model's values: weights of the layers, weights of the output layer, and keys and values of a token."""

    layers: int
    head: int
    token: int


def model_size(folder: Path) -> ModelSize:
    """Count a model's weights, without the embeddings, of which a token reads one row only."""
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    width = config.get("hidden_size") or config["n_embd"]
    weights = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "np") as tensors:
            for name in tensors.keys():
                if name.split(".")[-2] not in ("embed_tokens", "wte", "wpe", "lm_head"):
                    weights += math.prod(tensors.get_slice(name).get_shape())
    layers = config.get("num_hidden_layers") or config["n_layer"]
    heads = config.get("num_attention_heads") or config["n_head"]
    groups = 1 if config.get("multi_query") else config.get("num_key_value_heads", heads)
    head = config.get("head_dim") or width // heads
    return ModelSize(weights, config["vocab_size"] * width, 2 * layers * groups * head)


def measure(load: Callable[[argparse.Namespace, list[dict[str, Any]]], Callable[[list[dict[str, Any]]], int]]) -> None:
    """Time a method in this process and print one line of JSON: seconds until it is ready, seconds for the work, and tokens.

    `load` gets the options and the work, and returns what completes requests and gives the number of their tokens.
    """
    parser = argparse.ArgumentParser(description="Started by generation.py.")
    for name in ("--method", "--model", "--dtype", "--work"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--begun", type=float, required=True, help="time.time() when this process was started")
    options = parser.parse_args()
    work = json.loads(Path(options.work).read_text(encoding="utf-8"))
    run = load(options, work)
    ready = time.time() - options.begun
    run([{**item, "wanted": min(item["wanted"], 8)} for item in work[:2]])
    begun = time.perf_counter()
    tokens = run(work)
    if tokens != (wanted := sum(item["wanted"] for item in work)):
        raise RuntimeError(f"{tokens} tokens were generated, but {wanted} were wanted")
    print(json.dumps({"ready": ready, "seconds": time.perf_counter() - begun, "tokens": tokens}))


def longest(work: list[dict[str, Any]]) -> int:
    """Return the number of tokens of the longest request, prompt and output."""
    return max(len(item["prompt"]) + item["wanted"] for item in work)
