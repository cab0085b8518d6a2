"""Find a good way to ask a model: self-instruct tune --model_name_or_path MODEL --batch_dir DIR

Short runs compare recipes, numbers of demonstrations, trigger words and temperatures. The best options are written to
DIR/best.yaml. The same command continues after a stop.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.generate import FormatOptions
from self_instruct.config.parser import parse_values
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import TUNE_NAMES, TuneOptions

_HELP = (
    "Compare ways to ask a model, each in a short run of its own below --batch_dir: the recipes, then numbers of "
    "demonstrations, trigger words and temperatures with the best recipe. An option that is given is not varied. The best "
    "variant has the most distinct records per 1,000 tokens, prompts included: those with a ROUGE-L below 0.5 to all earlier "
    "ones. A later variant wins only by more than a standard error. With --judge_model, records that it calls good count "
    "instead."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    texts = {"batch_dir": "directory of the variants and of best.yaml; an existing comparison in it is continued"}
    given, _ = parse_values(argv, _HELP, (TuneOptions, FormatOptions, *GROUPS), TUNE_NAMES, help_texts=texts)
    folder, tokens = given.pop("batch_dir", None), given.pop("tokens_per_variant", TuneOptions.tokens_per_variant)
    if folder is None:
        raise UserError("--batch_dir is missing; give the directory for the variants")
    from self_instruct.review.tuning import BEST, Tuning, VariantFailed, as_yaml, best_of, table
    from self_instruct.runs.files import put

    tuning, found = Tuning(Path(folder), given, tokens, given.pop("judge_model", None)), []
    try:
        for variant, result in tuning.results():
            found.append((variant, result))
            print(f"{variant.name}: {result.problem or f'{result.accepted:,} records'}", file=sys.stderr, flush=True)
    except VariantFailed as failed:
        print(f"error: {failed}; run the same command again to continue", file=sys.stderr)
        return failed.code if failed.code > 0 else 128 - failed.code
    best = best_of(found)
    lines, path = table(found, best), Path(folder) / BEST
    comments = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    put(path, f"{comments}\n{as_yaml({**given, **best.options})}".encode())
    print("\n".join([*lines, "", f"The best options are in {path}; generate with:",
                     f"  self-instruct generate --config {path} --batch_dir RUN"]))  # fmt: skip
    return 0
