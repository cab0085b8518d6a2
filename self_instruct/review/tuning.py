"""Compare ways to ask a model, each in a short run: recipes, numbers of demonstrations, trigger words, temperatures.

The search goes stage by stage: each stage varies one thing in the best way so far. Every variant is a run of its own in a
process of its own, so the same command continues after a stop, and the journal holds everything that the model wrote.
"""

import json
import logging
import math
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from self_instruct.errors import UserError
from self_instruct.generation.signals import end_with_parent
from self_instruct.runs.files import make_folder, put
from self_instruct.runs.layout import ACCEPTED, JOURNAL, JUDGE_REPORT, REPORT
from self_instruct.runs.lock import Lock
from self_instruct.user_files import read_objects

DISTINCT_BELOW = 0.5
"""A record counts as distinct if its ROUGE-L F1 with the most similar earlier record is below this."""
BEST = "best.yaml"
_ENDLESS = 10**6  # records: the token budget ends a variant
# chat and magpie answer no task before this number of requests; with a longer horizon, a small budget would end first.
_HORIZON = 8
_LOCKED_SECONDS = 60.0  # that a process may take to store what it has generated, once its comparison was killed
_TRIGGERS = (("Task", "Answer"), ("Question", "Answer"))
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One way to ask: its `name` in the table and in the directory, and the options that differ from those given."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def varied(self, name: str, **options: Any) -> "Variant":
        """Return this variant with other options, and `name` added to its name."""
        return Variant(f"{self.name}-{name}", {**self.options, **options})


@dataclass(frozen=True)
class VariantResult:
    """What a variant wrote: blocks, blocks that could be read, records, distinct and good ones, and tokens.

    `good` is None without a judge. `problem` says why the variant cannot run with this model, else it is None.
    """

    written: int = 0
    readable: int = 0
    accepted: int = 0
    distinct: int = 0
    good: int | None = None
    prompt_tokens: int = 0
    new_tokens: int = 0
    problem: str | None = None

    @property
    def useful(self) -> int:
        """Good records, or distinct ones without a judge."""
        return self.distinct if self.good is None else self.good

    @property
    def score(self) -> float:
        """Useful records per 1,000 tokens, including the tokens of prompts."""
        tokens = self.prompt_tokens + self.new_tokens
        return 1000 * self.useful / tokens if tokens else 0.0

    def beats(self, other: "VariantResult") -> bool:
        """Return whether the score is higher by more than a standard error, where counts vary as Poisson's do."""
        return self.score > other.score * (1 + 1 / math.sqrt(other.useful)) if other.useful else self.useful > 0


class VariantFailed(Exception):
    """A process that generates or judges ended with an exit `code` that is neither success nor a user's mistake."""

    def __init__(self, name: str, code: int, message: str) -> None:
        super().__init__(f"{name}: ended with exit code {code}{f' ({message})' if message else ''}")
        self.code = code


@dataclass(frozen=True)
class Tuning:
    """A comparison in `folder`; `given` are the options that all variants share and that no stage varies.

    Each variant generates at most `tokens` new tokens. `judge` is the model that judges the records, if one does.
    """

    folder: Path
    given: Mapping[str, Any]
    tokens: int
    judge: str | None = None

    def results(self) -> Iterator[tuple[Variant, VariantResult]]:
        """Run the variants that are not finished, and yield each with its result. Raises VariantFailed."""
        found: list[tuple[Variant, VariantResult]] = []
        for stage in (self._recipes, self._demonstrations, self._triggers, self._temperatures):
            possible = [variant for variant, result in found if result.problem is None]
            if found and not possible:
                return
            for variant in stage(_leader(found) or (possible[0] if possible else Variant("given"))):
                found.append((variant, self._result(variant)))
                yield found[-1]

    def _recipes(self, best: Variant) -> Sequence[Variant]:
        """The recipes; the others are left out if the user has chosen one, or trigger words, which only few_shot has."""
        if self.given.get("recipe", "auto") != "auto":
            return [best]
        recipes = ("few_shot",) if self._has_triggers() else ("chat", "magpie", "few_shot")
        return [Variant(recipe, {"recipe": recipe}) for recipe in recipes]

    def _demonstrations(self, best: Variant) -> Sequence[Variant]:
        """Fewer demonstrations than the usual 8, for recipes that show any."""
        if self._recipe(best) == "magpie" or self.given.keys() & {"num_prompt_instructions"}:
            return []
        return [best.varied("3-demonstrations", num_prompt_instructions=3, num_prompt_synthetic_instructions=1)]

    def _triggers(self, best: Variant) -> Sequence[Variant]:
        if self._recipe(best) != "few_shot" or self._has_triggers():
            return []
        return [
            best.varied(asked.lower(), instruction_trigger=asked, output_trigger=answer) for asked, answer in _TRIGGERS
        ]

    def _temperatures(self, best: Variant) -> Sequence[Variant]:
        """A colder and a hotter one than the usual 0.8."""
        if "temperature" in self.given:
            return []
        return [best.varied(f"temperature-{value:g}", temperature=value) for value in (0.6, 1.0)]

    def _recipe(self, variant: Variant) -> str:
        return str({**self.given, **variant.options}.get("recipe", "auto"))

    def _has_triggers(self) -> bool:
        return any(self.given.get(f"{name}_trigger") for name in ("instruction", "input", "output"))

    def _result(self, variant: Variant) -> VariantResult:
        run, options = self.folder / variant.name, self._options_file(variant)
        counts = _report(run / REPORT)
        if counts is None or counts["tokens"]["completion"] < self.tokens:
            _log.info("%s: generating up to %s new tokens, logs in %s", variant.name, f"{self.tokens:,}", run)
            problem = self._generate(variant, run, options)
            if problem is not None:
                return VariantResult(problem=problem)
            counts = _report(run / REPORT)
        if counts is None:
            raise UserError(f"{run / REPORT}: is missing or damaged; move {run} away, and run the command again")
        accepted, distinct = counts["accepted"], _distinct(run / ACCEPTED)
        tokens = counts["tokens"]
        return VariantResult(
            counts["blocks"], counts["parsed"], accepted, distinct, self._judged(run) if accepted else None,
            tokens["prompt"], tokens["completion"],
        )  # fmt: skip

    def _options_file(self, variant: Variant) -> Path:
        """Write the options of a variant. Raises UserError if its run began with others: they cannot be compared."""
        path, options = self.folder / f"{variant.name}.yaml", {**self.given, **variant.options}
        text = as_yaml({"horizon": _HORIZON, **options})
        if not (self.folder / variant.name / JOURNAL).exists():
            make_folder(self.folder)
            put(path, text.encode("utf-8"))
        elif path.exists() and path.read_text(encoding="utf-8") not in (text, as_yaml(options)):
            raise UserError(
                f"{path}: this variant was generated with other options; give them again to continue the comparison, or give "
                "another --batch_dir"
            )
        return path

    def _generate(self, variant: Variant, run: Path, options: Path) -> str | None:
        """Run a variant to the end of its budget. Return why this model cannot be asked this way, or None."""
        code, message = _run(
            run, "generate", "--config", str(options), "--batch_dir", str(run), "--max_tokens", str(self.tokens),
            "--num_instructions_to_generate", str(_ENDLESS), "--min_yield", "0",
        )  # fmt: skip
        if code == 2:
            return message.removeprefix("error: ")
        if code:
            raise VariantFailed(variant.name, code, message)
        return None

    def _judged(self, run: Path) -> int | None:
        """Return how many records of a run the judge calls good; None without a judge."""
        if self.judge is None:
            return None
        code, message = _run(run, "judge", str(run), "--model_name_or_path", self.judge)
        if code == 2:
            raise UserError(f"--judge_model {self.judge}: {message.removeprefix('error: ')}")
        if code:
            raise VariantFailed(f"the judge of {run.name}", code, message)
        return int((_report(run / JUDGE_REPORT) or {}).get("kept", 0))


def as_yaml(options: Mapping[str, Any]) -> str:
    """Return options as the text of a --config file."""
    return yaml.safe_dump(dict(options), sort_keys=False, allow_unicode=True, width=119)


def table(found: Sequence[tuple[Variant, VariantResult]], best: Variant | None) -> list[str]:
    """Return the lines of a table of all variants; the best one is marked."""
    judged = any(result.good is not None for _, result in found)
    width = max((len(variant.name) for variant, _ in found), default=0)
    counts = ("written", "readable", "accepted", "distinct", *(["good"] if judged else []))
    head = [f"{'':{width + 2}}", *(f"{name:>9}" for name in counts)]
    lines = ["".join([*head, f"{'prompt tokens':>15}", f"{'new tokens':>12}", f"{'per 1,000 tokens':>18}"])]
    for variant, result in found:
        cells = f"{'*' if variant is best else ' '} {variant.name:{width}}"
        if result.problem is not None:
            lines.append(f"{cells}  {textwrap.shorten(result.problem, 90, placeholder=' ...')}")
            continue
        numbers = [getattr(result, name) or 0 for name in counts]
        cells += "".join(f"{number:>9,}" for number in numbers)
        lines.append(f"{cells}{result.prompt_tokens:>15,}{result.new_tokens:>12,}{result.score:>18.2f}")
    return lines


def _leader(found: Sequence[tuple[Variant, VariantResult]]) -> Variant | None:
    """Return the first variant that no later one beats; None if none wrote a useful record."""
    best: tuple[Variant, VariantResult] | None = None
    for item in found:
        if item[1].useful and (best is None or item[1].beats(best[1])):
            best = item
    return best[0] if best is not None else None


def best_of(found: Sequence[tuple[Variant, VariantResult]]) -> Variant:
    """Return the first variant that no later one beats. Raises UserError if none wrote a useful record, with the
    last problem if none could run.
    """
    best = _leader(found)
    if best is not None:
        return best
    problems = [item.problem for _, item in found if item.problem is not None]
    if len(problems) == len(found):
        raise UserError(problems[-1])
    raise UserError(
        "no variant wrote a record that counts; see completions.jsonl in the directories for what the model writes, or raise "
        "--tokens_per_variant"
    )


def _run(folder: Path, *command: str) -> tuple[int, str]:
    """Run a command of ours in a process of its own; return its exit code and the last line of its standard error.

    Raises UserError if an earlier process, of a comparison that was killed, does not give up the run directory.
    """
    for path in folder.glob("*.lock"):
        Lock(path, _LOCKED_SECONDS).release()
    full = [sys.executable, "-m", "self_instruct", *command]
    with subprocess.Popen(
        full, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
        preexec_fn=end_with_parent,  # noqa: PLW1509  # there are no other threads
    ) as process:  # fmt: skip
        try:
            _, errors = process.communicate()
        except BaseException:
            process.terminate()  # what it has written is in its journal
            raise
    lines = errors.strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def _report(path: Path) -> dict[str, Any] | None:
    """Return the counts of a report, or None if there are none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _distinct(records: Path) -> int:
    rows = (row for _, row in read_objects(records, "the records"))
    return sum((row["provenance"].get("rouge_l") or 0.0) < DISTINCT_BELOW for row in rows)
