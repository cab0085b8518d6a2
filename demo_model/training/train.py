"""Build the demonstration model from scratch: corpus, tokenizer, weights. One command, no network, no accelerator.

    python demo_model/training/train.py

A small GPTBigCode model learns to continue lists of code tasks. Every batch is drawn from the grammar by seed and step
number, so nothing is stored, no text is seen twice, and an interrupted run resumes from its checkpoint. Use
`demo_model/training/evaluate.py` to measure the result.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPTBigCodeConfig,
    HfArgumentParser,
    PreTrainedTokenizerFast,
)

from demo_model.training.corpus.documents import Sources, draw_document, load_sources

CONTEXT = 1024
VOCABULARY = 2048
ROWS = 4
END, PAD = "<|endoftext|>", "<|pad|>"
STEPS_PER_MINUTE = 110  # about the speed of two cores with bf16 instructions; converts --minutes to steps
PEAK_RATE, WARM_UP, FINAL_SHARE = 2.5e-3, 200, 0.03
IGNORED = -100


@dataclass
class Options:
    """How long to train and where to write."""

    minutes: float = field(
        default=50.0, metadata={"help": "Nominal minutes; decides the number of steps, not the clock."}
    )
    seed: int = field(default=7, metadata={"help": "Seed of corpus, tokenizer sample and weights."})
    output_dir: str = field(default=str(ROOT / "demo_model"), metadata={"help": "Where the finished model goes."})
    checkpoint: str = field(
        default="", metadata={"help": "Checkpoint file; default: in the output directory, removed at the end."}
    )
    threads: int = field(default=2, metadata={"help": "CPU threads."})
    save_every: int = field(default=500, metadata={"help": "Steps between checkpoints (and usable snapshots)."})


def build_tokenizer(sources: Sources, seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the grammar's and the seeds' vocabulary."""
    rng = random.Random(f"tokenizer-{seed}")
    documents = ["".join(s.text for s in draw_document(sources, rng)[0]) for _ in range(4000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=PAD,
        unk_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def build_row(sources: Sources, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> tuple[list[int], list[int]]:
    """Token ids and labels of one full row: documents one after another, the last one cut."""
    tokens: list[int] = []
    labels: list[int] = []
    while len(tokens) < CONTEXT + 1:
        segments, _ = draw_document(sources, rng)
        for segment in segments:
            ids = tokenizer(segment.text, add_special_tokens=False)["input_ids"]
            tokens += ids
            labels += ids if segment.trained else [IGNORED] * len(ids)
        tokens.append(tokenizer.eos_token_id)
        labels.append(tokenizer.eos_token_id)
    return tokens[: CONTEXT + 1], labels[: CONTEXT + 1]


def batch_rng(seed: int, step: int, row: int) -> random.Random:
    """Return the random generator of one row, so that any step can be reproduced without the steps before it."""
    return random.Random(f"{seed}-{step}-{row}")


def build_batch(
    sources: Sources, tokenizer: PreTrainedTokenizerFast, seed: int, step: int
) -> tuple[torch.Tensor, ...]:
    rows = [build_row(sources, tokenizer, batch_rng(seed, step, row)) for row in range(ROWS)]
    tokens, labels = (torch.tensor(part) for part in zip(*rows, strict=True))
    return tokens[:, :-1], labels[:, 1:]


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    config = GPTBigCodeConfig(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=256,
        n_layer=5,
        n_head=4,
        n_inner=1024,
        multi_query=True,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        demonstration_model=True,  # a run says that its records are not for training
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def build_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a small share of the peak."""
    warm = min(WARM_UP, max(1, steps // 5))
    if step < warm:
        return PEAK_RATE * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return PEAK_RATE * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def train_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, ...]) -> float:
    tokens, labels = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=tokens, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def _name_the_usual_class(path: Path) -> None:
    """transformers 5 writes a class name that transformers 4 does not have; both have this one."""
    settings = json.loads(path.read_text("utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")


def save_model(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, options: Options, step: int, steps: int
) -> None:
    """Write the model in half precision, and the settings of its training."""
    target = Path(options.output_dir)
    target.mkdir(parents=True, exist_ok=True)
    half = build_model(tokenizer, options.seed)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(target)
    _name_the_usual_class(target / "tokenizer_config.json")
    GenerationConfig(
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    ).save_pretrained(target)
    facts = {
        "seed": options.seed,
        "steps": step,
        "planned_steps": steps,
        "rows": ROWS,
        "tokens": step * ROWS * CONTEXT,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    (target / "training.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def checkpoint_path(options: Options) -> Path:
    return Path(options.checkpoint) if options.checkpoint else Path(options.output_dir) / "checkpoint.pt"


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, steps: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "steps": steps}, partial
    )
    partial.replace(path)


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> int:
    """Return the number of finished steps: 0 without a checkpoint of the same plan."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["steps"] != steps:
        print(f"{path} belongs to a run of {state['steps']} steps, not {steps}: starting over", flush=True)
        return 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def report(step: int, steps: int, losses: list[float], started: float, first: int) -> None:
    elapsed = time.monotonic() - started
    done = step - first
    print(
        f"step {step}/{steps} loss {sum(losses) / len(losses):.4f} tokens/s {done * ROWS * CONTEXT / elapsed:.0f} "
        f"elapsed {elapsed / 60:.1f} min ETA {elapsed / done * (steps - step) / 60:.1f} min",
        flush=True,
    )


def main() -> None:
    (options,) = HfArgumentParser(Options).parse_args_into_dataclasses()
    torch.set_num_threads(options.threads)
    steps = max(1, round(options.minutes * STEPS_PER_MINUTE))
    sources = load_sources()
    tokenizer = build_tokenizer(sources, options.seed)
    model = build_model(tokenizer, options.seed).train()
    optimizer = build_optimizer(model)
    path = checkpoint_path(options)
    first = load_checkpoint(path, model, optimizer, steps)
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {steps} steps, from {first}", flush=True
    )
    started, losses = time.monotonic(), []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        losses.append(train_step(model, optimizer, build_batch(sources, tokenizer, options.seed, step)))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            report(step + 1, steps, losses[-50:], started, first)
        if (step + 1) % options.save_every == 0:
            save_checkpoint(path, model, optimizer, step + 1, steps)
            save_model(model, tokenizer, options, step + 1, steps)
    save_model(model, tokenizer, options, steps, steps)
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
