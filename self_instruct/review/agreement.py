"""From predictions to a decision: how well a record's instruction is told back, and which records stay for it.

A function of the predictions and the thresholds, so it can be made again at any time. Knows nothing of models and files.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from self_instruct.review.predictions import Prediction

LEVELS = tuple(tenth / 10 for tenth in range(10))
NO_PREDICTION, EMBEDDING, ROUGE_L = "no_prediction", "embedding", "rouge_l"
_RULES: dict[str, Callable[[list[float]], float]] = {"mean": fmean, "best": max}


@dataclass(frozen=True)
class Agreement:
    """The scores of a record over the `trials` in which an instruction was told; None where there is nothing to score.

    Trials in which nothing was told are left out: they say that the model lost the form, not that the record is bad.
    """

    embedding: float | None
    rouge_l: float | None
    trials: int


@dataclass(frozen=True)
class Thresholds:
    """The least cosine and ROUGE-L F1 with which a record stays; None asks for none."""

    embedding: float | None
    rouge_l: float | None

    def objection(self, agreement: Agreement) -> str | None:
        """Why a record does not stay: `no_prediction`, `embedding`, `rouge_l`; or None if it does."""
        if not agreement.trials:
            return NO_PREDICTION
        if self.embedding is not None and (agreement.embedding is None or agreement.embedding < self.embedding):
            return EMBEDDING
        if self.rouge_l is not None and (agreement.rouge_l is None or agreement.rouge_l < self.rouge_l):
            return ROUGE_L
        return None


def agreement(predictions: Sequence[Prediction], rule: str, embeddings: bool = True) -> Agreement:
    """What a record's predictions come to. The rule, "mean" or "best", is applied to each score by itself.

    The mean estimates what one more trial would give, whatever their number; the best of several grows with their number, so
    a threshold for it holds for that number only.
    """
    told = [item for item in predictions if item.prediction is not None]
    cosines = [item.embedding for item in told if item.embedding is not None] if embeddings else []
    overlaps = [item.rouge_l for item in told if item.rouge_l is not None]
    score = _RULES[rule]
    return Agreement(score(cosines) if cosines else None, score(overlaps) if overlaps else None, len(told))


def statistics(
    agreements: Sequence[Agreement], predictions: Sequence[Prediction], thresholds: Thresholds, rule: str
) -> dict[str, Any]:
    """All counts, as in self_consistency_report.json: what stays, what is dropped and why, and what would stay at other
    thresholds by either score alone.
    """
    objections = [thresholds.objection(item) for item in agreements]
    drops = Counter(objection for objection in objections if objection)
    scores = {
        EMBEDDING: [item.embedding for item in agreements if item.embedding is not None],
        ROUGE_L: [item.rouge_l for item in agreements if item.rouge_l is not None],
    }
    return {
        "records": len(agreements),
        "kept": objections.count(None),
        "drops": {reason: drops[reason] for reason in (NO_PREDICTION, EMBEDDING, ROUGE_L)},
        "rule": rule,
        "thresholds": {EMBEDDING: thresholds.embedding, ROUGE_L: thresholds.rouge_l},
        "stay_at": [
            {"threshold": level} | {name: sum(score >= level for score in found) for name, found in scores.items()}
            for level in LEVELS
        ],
        "predictions": dict(sorted(Counter(item.reason or "told" for item in predictions).items())),
        **{name: sorted({str(getattr(item, name)) for item in predictions}) for name in ("model", "model_revision")},
        "embedding_model": sorted({item.embedding_model for item in predictions if item.embedding_model}),
    }


def table(counts: dict[str, Any]) -> str:
    """The counts for people: what stays, how many records would stay at each threshold by either score, and the drops."""
    names = {EMBEDDING: "cosine", ROUGE_L: "ROUGE-L"}
    asked = [
        f"{counts['rule']} {names[name]} at least {level:g}"
        for name, level in counts["thresholds"].items()
        if level is not None
    ]
    lines = [f"{counts['kept']:,} of {counts['records']:,} records stay: {', '.join(asked)}.", ""]
    lines.append(f"{'would stay at':<30}{names[EMBEDDING]:>12}{names[ROUGE_L]:>12}")
    lines += [f"  {row['threshold']:<28.1f}{row[EMBEDDING]:>12,}{row[ROUGE_L]:>12,}" for row in counts["stay_at"]]
    told = counts["predictions"]
    lines += ["", f"{'predictions asked for':<30}{sum(told.values()):>12,}"]
    lines += [f"  {reason:<28}{-number:>12,}" for reason, number in told.items() if reason != "told"]
    lines += [f"{'records':<30}{counts['records']:>12,}"]
    lines += [f"  {reason:<28}{-number:>12,}" for reason, number in counts["drops"].items() if number]
    return "\n".join([*lines, f"{'stay':<30}{counts['kept']:>12,}"])
