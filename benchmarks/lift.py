"""Fine-tune a model on equally many tokens of candidates, of filtered records and of selected ones, and compare the models.

python benchmarks/lift.py MODEL RUN --folder FOLDER [--tokens 20000] [--repeats 3] [--embedding_model FOLDER]

RUN is a finished run. Its training sets: `raw`, every candidate that could be read; `parents`, what the filters of the
Self-Instruct paper keep of these; `ours`, the records of the run; `selected`, the half of these with the highest IFD or, with
an embedding model, the most diverse half, beginning with the highest IFD. A LoRA adapter is trained with TRL and
configs/finetune/lora.yaml on samples of each, several times. The measures are in lift_measures.py. Results are stored in
FOLDER, so the same command continues.
"""

import argparse
import json
import math
import random
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import datasets
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config

from benchmarks.lift_measures import MEASURES, measured
from self_instruct.commands import run_command
from self_instruct.engines.local.likelihood import AnswerModel
from self_instruct.records import Record, json_line
from self_instruct.runs.layout import ACCEPTED
from self_instruct.runs.run import load_run
from self_instruct.user_files import read_objects

BASE, ARMS = "base", ("raw", "parents", "ours", "selected")
PAIRS = (("ours", "raw"), ("ours", "parents"), ("selected", "ours"), ("raw", BASE))
LORA, TEMPLATE = (ROOT / "configs" / "finetune" / name for name in ("lora.yaml", "chat_template.jinja"))


def training_sets(options: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of each training set; commands write their files below the folder once."""
    run, folder = load_run(options.run), options.folder
    read = [
        row.record for row in run.rejected if row.drop.stage in ("filter", "novelty") and row.record.output.strip()
    ]
    parents, scored, selected = folder / "parents", folder / "scored.jsonl", folder / "selected.jsonl"
    if not (parents / "report.json").exists():
        number = ["--num_instructions_to_generate", len(run.records) + len(run.rejected)]
        command(["refilter", options.run, parents, "--preset", "self-instruct", "--check_outputs", "false", *number])
    if not selected.exists():
        source = ["--input_path", options.run / ACCEPTED, "--output_path", scored]
        command(["score", *source, "--model_name_or_path", options.model])
        spread = ["--diverse", "0.5", "--embedding_model_name_or_path", options.embedding_model]
        share = ["--top", "1.0", *spread] if options.embedding_model else ["--top", "0.5"]
        command(["select", scored, "--by", "ifd", *share, "--output_path", selected])
    chosen = {row["provenance"]["id"] for _, row in read_objects(selected, "the selected records")}
    return {
        "raw": sorted([*run.records, *read], key=lambda record: record.id),
        "parents": load_run(parents).records,
        "ours": run.records,
        "selected": [record for record in run.records if record.id in chosen],
    }


def command(words: Sequence[object]) -> None:
    """Run one of our commands. Raises SystemExit if it fails."""
    name, *rest = map(str, words)
    try:
        run_command(name, rest)
    except SystemExit as ended:
        if ended.code:
            raise


def sample(records: list[Record], tokens: int, sizes: dict[str, int], rng: random.Random) -> list[Record]:
    """Draw records without replacement until they have this many tokens; after the last one, begin again."""
    found, number = list[Record](), 0
    while number < tokens:
        for record in rng.sample(records, len(records)):
            found.append(record)
            number += sizes[record.id]
            if number >= tokens:
                break
    return found


def loaded(name: str) -> tuple[Any, Any]:
    """Return the model and its tokenizer; a base model gets the project's chat template."""
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or TEMPLATE.read_text(encoding="utf-8")
    return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), tokenizer


def trained(name: str, records: list[Record], seed: int, folder: Path) -> tuple[Any, Any]:
    """Return the model after one pass over the records, with the adapter merged, and its tokenizer.

    The batches are as large as in the configuration, but without padding, which takes half of the time on a CPU.
    """
    given = ["--config", str(LORA), "--output_dir", str(folder), "--seed", str(seed), "--num_train_epochs", "1",
             "--save_strategy", "no", "--bf16", "false", "--logging_steps", "1000", "--per_device_train_batch_size", "1",
             "--gradient_accumulation_steps", "16", "--gradient_checkpointing", "false"]  # fmt: skip
    _, training, shape = TrlParser((ScriptArguments, SFTConfig, ModelConfig)).parse_args_and_config(given)
    model, tokenizer = loaded(name)
    rows = [
        {"prompt": [{"role": "user", "content": record.task}], "completion": [{"role": "assistant", "content": record.output}]}
        for record in records
    ]  # fmt: skip
    trainer = SFTTrainer(
        model, training, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=get_peft_config(shape),
    )  # fmt: skip
    trainer.train()
    shutil.rmtree(folder, ignore_errors=True)
    return trainer.model.merge_and_unload().eval(), tokenizer


def results(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train and measure every model that is not stored yet, and return all results."""
    path = options.folder / "results.jsonl"
    stored = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    sets, encoder = training_sets(options), AnswerModel(*loaded(options.model), "")
    encoded = {record.id: encoder.encode(record.task, record.output) for arm in ARMS for record in sets[arm]}
    sizes = {name: max(1, len(answer.prompt) + len(answer.answer)) for name, answer in encoded.items()}
    for name in (BASE, *ARMS):
        for seed in range(1 if name == BASE else options.repeats):
            if any((row["arm"], row["seed"]) == (name, seed) for row in stored):
                continue
            about: dict[str, Any] = {"arm": name, "seed": seed}
            if name == BASE:
                model, tokenizer = loaded(options.model)
            else:
                records = sample(sets[name], options.tokens, sizes, random.Random(f"{name} {seed}"))
                model, tokenizer = trained(options.model, records, seed, options.folder / "training")
                used = {record.id for record in records}
                about |= {
                    "tokens": sum(sizes[record.id] for record in records),
                    "distinct": len(used),
                    "of": len(sets[name]),
                }
            stored.append({**about, **measured(model.eval(), tokenizer)})
            with path.open("ab") as file:
                file.write(json_line(stored[-1]))
            print(stored[-1], file=sys.stderr, flush=True)
    return stored


def table(rows: list[dict[str, Any]]) -> str:
    """Format mean and standard deviation of each measure, then the differences that hold at two standard errors."""
    lines = [f"{'trained on':<12}{'records':>9}" + "".join(f"{name:>20}" for name in MEASURES)]
    values = {arm: [row for row in rows if row["arm"] == arm] for arm in (BASE, *ARMS)}
    for arm, found in values.items():
        shown = [f"{mean(found, name):>12.3f} ±{deviation(found, name):>6.3f}" for name in MEASURES]
        lines.append(f"{arm:<12}{found[0].get('of', '') if found else '':>9}" + "".join(shown))
    for one, other in PAIRS:
        parts = []
        for name in MEASURES:
            difference = mean(values[one], name) - mean(values[other], name)
            error = math.hypot(*(deviation(values[arm], name) / math.sqrt(len(values[arm])) for arm in (one, other)))
            parts.append(f"{difference:>+12.3f} {'holds' if abs(difference) > 2 * error else 'no':>7}")
        lines.append(f"{f'{one} - {other}':<21}" + "".join(parts))
    return "\n".join(lines)


def mean(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.mean(row[name] for row in rows)


def deviation(rows: list[dict[str, Any]], name: str) -> float:
    """Return the standard deviation; 0 for one model."""
    return statistics.stdev(row[name] for row in rows) if len(rows) > 1 else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("run", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=20_000, help="of tasks and answers together, for each model")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--embedding_model", default=None)
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats must be at least 2: one model has no standard error")
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = results(options)
    print(
        f"{options.tokens:,} tokens, {options.repeats} models of each kind; mean ± standard deviation\n{table(rows)}"
    )


if __name__ == "__main__":
    main()
