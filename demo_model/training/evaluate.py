"""Measure the demonstration model on prompts like the generator's, and print the figures of its model card.

    python demo_model/training/evaluate.py

Only answers to tasks of the grammar are checked; the figures say nothing about other text or about usefulness as data.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, HfArgumentParser

from demo_model.training.corpus import novelty
from demo_model.training.corpus.checking import compiles, is_right, looks_like_python
from demo_model.training.corpus.documents import Sources, draw_document, load_sources, prompt_head
from demo_model.training.corpus.recognise import recognise
from demo_model.training.corpus.task import Meaning, is_held_out
from demo_model.training.train import CONTEXT, batch_rng
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.records import Record

DOCUMENTS_PER_ROW = 3  # never more than this many fit in one training row


@dataclass
class Options:
    """Options for sampling."""

    model: str = field(default=str(ROOT / "demo_model"), metadata={"help": "Directory of the model."})
    completions: int = field(default=40, metadata={"help": "Number of prompts."})
    max_new_tokens: int = field(default=512, metadata={"help": "Length limit of a completion."})
    temperature: float = field(default=0.8, metadata={"help": "Sampling temperature."})
    top_p: float = field(default=0.95, metadata={"help": "Nucleus sampling."})
    seed: int = field(default=1, metadata={"help": "Seed of prompts and sampling."})
    three_fields: bool = field(default=False, metadata={"help": "Use blocks with an input field."})
    threads: int = field(default=2, metadata={"help": "CPU threads."})
    show: int = field(default=0, metadata={"help": "Print this many completions."})


@dataclass(frozen=True)
class Written:
    """A block that parsed, with what is known about it."""

    record: Record
    meaning: Meaning | None

    @property
    def task(self) -> str:
        return self.record.task

    @property
    def held_out(self) -> bool:
        return self.meaning is not None and is_held_out(self.meaning.pair)


@dataclass
class Sampled:
    """The result of sampling: parsed blocks, reasons why others did not parse, and the speed."""

    blocks: list[Written] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    seconds: float = 0.0


def build_prompt(form: RecordFormat, sources: Sources, earlier: list[Record], rng: random.Random) -> tuple[str, int]:
    """Header, two to four demonstrations, an open block; and the number of that block. Some are earlier outputs."""
    own = rng.sample(earlier, min(len(earlier), rng.randint(0, 1)))
    demonstrations = rng.sample(sources.seeds, rng.randint(2, 3)) + own
    rng.shuffle(demonstrations)
    header = sources.three_field_header if "input" in form.fields else sources.two_field_header
    blocks = [form.render(record, number) for number, record in enumerate(demonstrations, start=1)]
    number = len(blocks) + 1
    return prompt_head(header) + "".join(blocks) + form.open_block(number), number


def sample(options: Options, sources: Sources) -> Sampled:
    """Write the completions and parse them."""
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    form = INSTRUCTION_INPUT_OUTPUT if options.three_fields else INSTRUCTION_OUTPUT
    rng, result, earlier = random.Random(options.seed), Sampled(), []
    torch.manual_seed(options.seed)
    for index in range(options.completions):
        prompt, number = build_prompt(form, sources, earlier, rng)
        encoded = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        room = min(options.max_new_tokens, CONTEXT - encoded["input_ids"].shape[1])
        started = time.perf_counter()
        with torch.no_grad():
            output = model.generate(
                **encoded,
                do_sample=True,
                temperature=options.temperature,
                top_p=options.top_p,
                top_k=0,
                max_new_tokens=room,
            )
        result.seconds += time.perf_counter() - started
        new = output[0, encoded["input_ids"].shape[1] :]
        result.tokens += len(new)
        text = tokenizer.decode(new, skip_special_tokens=True)
        if index < options.show:
            print(f"----- completion {index}\n{form.open_block(number)}{text}")
        for block in form.parse(text, number, truncated=len(new) == room):
            result.reasons[block.reason or "parsed"] += 1
            if block.reason is None:
                record = Record("", block.fields["instruction"], block.fields.get("input", ""), block.fields["output"])
                result.blocks.append(Written(record, recognise(record.instruction, record.output)))
                earlier.append(record)
    return result


def training_instructions(sources: Sources, model: str) -> set[str]:
    """Every instruction that training may have shown (a few more, as the last document of a row was cut)."""
    facts = json.loads((Path(model) / "training.json").read_text("utf-8"))
    seen = set()
    for step in range(facts["steps"]):
        for row in range(facts["rows"]):
            rng = batch_rng(facts["seed"], step, row)
            for _ in range(DOCUMENTS_PER_ROW):
                seen.update(task.instruction for task in draw_document(sources, rng)[1])
    return seen


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part} of {whole})" if whole else "none"


def judge(blocks: list[Written]) -> dict[str, str]:
    """Figures about the answers."""
    python = [b for b in blocks if looks_like_python(b.record.output, b.task)]
    verdicts = [(b, is_right(b.meaning, b.task, b.record.output)) for b in blocks if b.meaning]
    run = [right for b, right in verdicts if right is not None and b.meaning and b.meaning.expected]
    fixed = [right for b, right in verdicts if right is not None and b.meaning and b.meaning.answer]
    unseen = [right for b, right in verdicts if right is not None and b.held_out]
    return {
        "Python answers that compile": percent(sum(compiles(b.record.output) for b in python), len(python)),
        "tasks that the recogniser reads back": percent(len(verdicts), len(blocks)),
        "right answers, by running them against a reference": percent(sum(run), len(run)),
        "right answers, where there is one right text (SQL, shell, regex, class)": percent(sum(fixed), len(fixed)),
        "right answers among tasks with a held-out pair": percent(sum(unseen), len(unseen)),
    }


def describe(sampled: Sampled, known: set[str]) -> dict[str, str]:
    """All figures, in the order of the model card."""
    blocks, cut = sampled.blocks, sampled.reasons["cut_by_length"]
    written = sum(sampled.reasons.values()) - cut
    instructions = [block.record.instruction.split("\n")[0] for block in blocks]
    held_out = {block.meaning.pair for block in blocks if block.held_out and block.meaning}
    first = novelty.kept(instructions[:100])
    broken = {reason: count for reason, count in sampled.reasons.items() if reason != "parsed"}
    return {
        "blocks written (without those cut by the length limit)": f"{written}; not parsed or cut: {broken}",
        "blocks that parse": percent(len(blocks), written),
        **judge(blocks),
        "instructions not in the training text verbatim": percent(
            sum(i not in known for i in instructions), len(blocks)
        ),
        "tasks with a held-out (verb, object) pair": (
            f"{percent(sum(b.held_out for b in blocks), len(blocks))}, {len(held_out)} distinct pairs"
        ),
        "kept at ROUGE-L F1 < 0.7, first 100 instructions": percent(len(first), min(100, len(blocks))),
        "kept at ROUGE-L F1 < 0.7, all instructions": percent(len(novelty.kept(instructions)), len(blocks)),
        "tokens per second, one completion at a time": f"{sampled.tokens / sampled.seconds:.0f}",
    }


def main() -> None:
    (options,) = HfArgumentParser(Options).parse_args_into_dataclasses()
    torch.set_num_threads(options.threads)
    sources = load_sources()
    figures = describe(sample(options, sources), training_instructions(sources, options.model))
    print("| measure | figure |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
