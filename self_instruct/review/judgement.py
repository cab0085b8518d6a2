"""From what a judge wrote to a verdict: three scores from 1 to 5, and good or bad; unknown where it cannot be read.

A function of the texts and the threshold, so it can be decided anew at any time. Knows nothing of models and files.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from self_instruct.records import Record
from self_instruct.review.predictions import Prediction

CRITERIA = ("helpful", "correct", "clear")
VERDICTS = ("good", "bad", "unknown")
LEVELS = tuple(1 + half / 2 for half in range(9))
_SCORE = re.compile(rf"\b({'|'.join(CRITERIA)})\b[*_`\"']*\s*[:=][\s*_`\"']*([^,;\n]*)", re.IGNORECASE)
_VERDICT = re.compile(r"\bverdict\b[*_`\"']*\s*[:=][ \t*_`\"']*([^\n]*)", re.IGNORECASE)
_POINTS = re.compile(r"([1-5])(?:\s*(?:/|out of)\s*5)?[*_`\"'.\s]*")

HEADER = (
    "Below are tasks, each with an answer and a strict judgement of that answer. A judgement has three scores from 1 (worst) "
    "to 5 (best), helpful: the answer does what the task asks, all of it; correct: what it says is true, and its code or its "
    "sums are right; clear: it can be understood at once. The verdict is good only if the pair could be shown to a model as an "
    "example to learn from, else bad. An answer that refuses, is cut off or has little to do with the task is bad, and so is "
    "any answer to a task that makes no sense."
)
"""What a judge reads first."""

EXAMPLES = (
    ("Name the largest planet of the solar system and say in one sentence why it has bands.",
     "Jupiter. Its bands are clouds at different heights that strong winds draw out along the parallels.",
     (5, 5, 5, "good")),
    ("Write a Python function that returns the average of a list of numbers.",
     "def average(numbers):\n    return sum(numbers)",
     (2, 1, 4, "bad")),
    ("Translate into French: The shop opens at nine.",
     "Le magasin ouvre à neuf heures.",
     (5, 5, 5, "good")),
    ("Give three tips for keeping basil alive indoors.",
     "As an AI language model, I cannot keep plants, but there are many",
     (1, 2, 2, "bad")),
    ("How many minutes are there in two and a half hours?",
     "2.5 * 60 = 160, so there are 160 minutes.",
     (3, 1, 5, "bad")),
    ("Suggest a title for a story about a lighthouse keeper who is afraid of the dark.",
     "The Keeper of Small Lights",
     (5, 5, 5, "good")),
)  # fmt: skip
"""Tasks, answers and judgements that a judge is shown, good and bad ones by turns."""


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a record: `scores` by criterion, the verdict, and why it is unknown where it is."""

    verdict: str
    scores: dict[str, int]
    reason: str | None = None

    @property
    def mean(self) -> float | None:
        """The mean of the scores; None where the verdict is unknown."""
        return fmean(self.scores.values()) if self.scores else None

    def passes(self, threshold: float) -> bool:
        """Whether it is good, with a mean of at least the threshold."""
        return self.verdict == "good" and self.mean is not None and self.mean >= threshold


def judged_record(record: Record, written: str = "") -> Record:
    """A record as a judge is shown it: the task, its answer, and the judgement, which is what is asked for."""
    return Record(record.id, record.task, record.output, written)


def examples() -> list[Record]:
    """The demonstrations of a judge."""
    found = []
    for number, (task, answer, (helpful, correct, clear, verdict)) in enumerate(EXAMPLES, start=1):
        written = f"helpful: {helpful}, correct: {correct}, clear: {clear}\nverdict: {verdict}"
        found.append(judged_record(Record(f"example-{number}", task, "", answer), written))
    return found


def read_judgement(prediction: Prediction | None) -> Judgement:
    """What a prediction says. Only what has each score once, from 1 to 5, and the verdict good or bad once is known."""
    if prediction is None:
        return Judgement("unknown", {}, "not_judged")
    if prediction.prediction is None:
        return Judgement("unknown", {}, prediction.reason or "error")
    text = prediction.prediction
    scores: dict[str, int] = {}
    for name, written in _SCORE.findall(text):
        points = _POINTS.fullmatch(written.strip())
        if points is None or scores.get(name.lower(), int(points[1])) != int(points[1]):
            return Judgement("unknown", {}, "no_scores")
        scores[name.lower()] = int(points[1])
    if set(scores) != set(CRITERIA):
        return Judgement("unknown", {}, "no_scores")
    said = {re.sub(r"[\s*_`\"'.!]+$", "", words).lower() for words in _VERDICT.findall(text)}
    if len(said) != 1 or not said <= {"good", "bad"}:
        return Judgement("unknown", {}, "no_verdict")
    return Judgement(said.pop(), {name: scores[name] for name in CRITERIA})


def statistics(judgements: Sequence[Judgement], threshold: float) -> dict[str, Any]:
    """All counts, as in the report: verdicts, why some are unknown, scores by criterion, and what would stay at thresholds."""
    return {
        "records": len(judgements),
        "kept": sum(item.passes(threshold) for item in judgements),
        "threshold": threshold,
        "verdicts": _counted(VERDICTS, (item.verdict for item in judgements)),
        "unknown": dict(sorted(Counter(item.reason for item in judgements if item.reason is not None).items())),
        "scores": {
            name: _counted(range(1, 6), (item.scores[name] for item in judgements if item.scores)) for name in CRITERIA
        },
        "means": _counted(LEVELS[:-1], (_level(item.mean) for item in judgements if item.mean is not None)),
        "stay_at": [
            {"threshold": level, "records": sum(item.passes(level) for item in judgements)} for level in LEVELS
        ],
    }


def table(counts: dict[str, Any]) -> str:
    """The counts for people."""
    lines = [
        f"{counts['kept']:,} of {counts['records']:,} records stay: judged good, with a mean of at least "
        f"{counts['threshold']:g}.", "",
        *(f"  {name:<10}{number:>10,}" for name, number in counts["verdicts"].items()),
        *(f"    {name:<18}{number:>10,}" for name, number in counts["unknown"].items()),
        "", f"{'score':<10}{''.join(f'{points:>10}' for points in range(1, 6))}",
        *(f"{name:<10}{''.join(f'{number:>10,}' for number in found.values())}" for name, found in counts["scores"].items()),
        "", "mean of the scores",
    ]  # fmt: skip
    most = max(counts["means"].values(), default=0) or 1
    for level, number in counts["means"].items():
        upper = "5.0" if float(level) == LEVELS[-2] else f"{float(level) + 0.5:.1f}"
        lines.append(f"  {float(level):.1f}-{upper}{number:>10,} {'#' * -(-40 * number // most)}")
    lines += ["", f"{'would stay at':<18}{'records':>10}"]
    return "\n".join([*lines, *(f"  {row['threshold']:<16.1f}{row['records']:>10,}" for row in counts["stay_at"])])


def _level(mean: float) -> float:
    """The half point at or below a mean; 5 belongs to the last one."""
    return min(LEVELS[-2], int(mean * 2) / 2)


def _counted(names: Iterable[Any], found: Iterable[Any]) -> dict[str, int]:
    counts = Counter(found)
    return {str(name): counts[name] for name in names}
