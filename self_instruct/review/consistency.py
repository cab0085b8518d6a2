"""Self-consistency: keep records whose instruction the model can recover from the output.

Options default to those of the run. The decision is a function of the stored predictions and the thresholds, so other
thresholds need no model.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from self_instruct.config.program import other_threshold
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.config import Config, assemble
from self_instruct.generation.earlier_run import EarlierRun, read_run
from self_instruct.generation.prompts import read_header
from self_instruct.novelty.embedding import Encoder, SentenceEncoder
from self_instruct.novelty.rouge import rouge_l
from self_instruct.novelty.tokens import TOKENIZERS
from self_instruct.records import Record, json_line
from self_instruct.review.ask import Reviewer, ReviewResult, Score, unread_lines
from self_instruct.review.options import (
    CONSISTENCY_DECIDING,
    CONSISTENCY_OWN,
    NOT_OF_THE_RUN,
    ConsistencyOptions,
)
from self_instruct.review.predictions import Prediction, PredictionFile, Trial
from self_instruct.runs.layout import CONSISTENCY_REPORT, CONSISTENT, PREDICTIONS

_ENCODED_TOGETHER = 512
LEVELS = tuple(tenth / 10 for tenth in range(10))
NO_PREDICTION, EMBEDDING, ROUGE_L = "no_prediction", "embedding", "rouge_l"
_RULES: dict[str, Callable[[list[float]], float]] = {"mean": fmean, "best": max}


@dataclass(frozen=True)
class Agreement:
    """The scores of a record over the `trials` with a readable prediction; None without a score.

    Unreadable predictions are left out: they show that the model lost the format, not that the record is bad.
    """

    embedding: float | None
    rouge_l: float | None
    trials: int


@dataclass(frozen=True)
class Thresholds:
    """The minimum cosine and ROUGE-L F1 of a kept record; None means no minimum."""

    embedding: float | None
    rouge_l: float | None

    def drop_reason(self, agreement: Agreement) -> str | None:
        """Return why a record is dropped (`no_prediction`, `embedding` or `rouge_l`), or None if it is kept."""
        if not agreement.trials:
            return NO_PREDICTION
        if self.embedding is not None and (agreement.embedding is None or agreement.embedding < self.embedding):
            return EMBEDDING
        if self.rouge_l is not None and (agreement.rouge_l is None or agreement.rouge_l < self.rouge_l):
            return ROUGE_L
        return None


def agreement(predictions: Sequence[Prediction], rule: str, embeddings: bool = True) -> Agreement:
    """Combine the scores of a record's predictions; the rule, "mean" or "best", applies to each score separately.

    The mean estimates the score of one more trial, whatever the number of trials. The best score grows with that number, so
    its threshold is only valid for the same number of trials.
    """
    readable = [item for item in predictions if item.prediction is not None]
    cosines = [item.embedding for item in readable if item.embedding is not None] if embeddings else []
    overlaps = [item.rouge_l for item in readable if item.rouge_l is not None]
    score = _RULES[rule]
    return Agreement(score(cosines) if cosines else None, score(overlaps) if overlaps else None, len(readable))


def statistics(
    agreements: Sequence[Agreement], predictions: Sequence[Prediction], thresholds: Thresholds, rule: str
) -> dict[str, Any]:
    """Return the counts of self_consistency_report.json: records kept, drops by reason, and records that each score alone would
    keep at other thresholds.
    """
    reasons = [thresholds.drop_reason(item) for item in agreements]
    drops = Counter(reason for reason in reasons if reason)
    scores = {
        EMBEDDING: [item.embedding for item in agreements if item.embedding is not None],
        ROUGE_L: [item.rouge_l for item in agreements if item.rouge_l is not None],
    }
    return {
        "records": len(agreements),
        "kept": reasons.count(None),
        "drops": {reason: drops[reason] for reason in (NO_PREDICTION, EMBEDDING, ROUGE_L)},
        "rule": rule,
        "thresholds": {EMBEDDING: thresholds.embedding, ROUGE_L: thresholds.rouge_l},
        "kept_at": [
            {"threshold": level} | {name: sum(score >= level for score in found) for name, found in scores.items()}
            for level in LEVELS
        ],
        "predictions": dict(sorted(Counter(item.reason or "predicted" for item in predictions).items())),
        **{name: sorted({str(getattr(item, name)) for item in predictions}) for name in ("model", "model_revision")},
        "embedding_model": sorted({item.embedding_model for item in predictions if item.embedding_model}),
    }


def table(counts: dict[str, Any]) -> str:
    """Format the counts: records kept, records that each score alone would keep at other thresholds, and drops."""
    names = {EMBEDDING: "cosine", ROUGE_L: "ROUGE-L"}
    asked = [
        f"{counts['rule']} {names[name]} at least {level:g}"
        for name, level in counts["thresholds"].items()
        if level is not None
    ]
    lines = [f"{counts['kept']:,} of {counts['records']:,} records were kept: {', '.join(asked)}.", ""]
    lines.append(f"{'kept at threshold':<30}{names[EMBEDDING]:>12}{names[ROUGE_L]:>12}")
    lines += [f"  {row['threshold']:<28.1f}{row[EMBEDDING]:>12,}{row[ROUGE_L]:>12,}" for row in counts["kept_at"]]
    predictions = counts["predictions"]
    lines += ["", f"{'predictions asked for':<30}{sum(predictions.values()):>12,}"]
    lines += [f"  {reason:<28}{-number:>12,}" for reason, number in predictions.items() if reason != "predicted"]
    lines += [f"{'records':<30}{counts['records']:>12,}"]
    lines += [f"  {reason:<28}{-number:>12,}" for reason, number in counts["drops"].items() if number]
    return "\n".join([*lines, f"{'kept':<30}{counts['kept']:>12,}"])


@dataclass(frozen=True)
class PredictionScorer:
    """Compares predictions with instructions by ROUGE-L F1, with a tokenizer of --rouge_tokenizer, and, with an encoder and its
    name, by cosine similarity.
    """

    encoder: Encoder | None = None
    name: str | None = None
    tokenizer: str = "rouge"

    def score(self, predictions: Sequence[Prediction], instructions: Sequence[str]) -> list[Prediction]:
        """Return the predictions, scored against the instruction of the same index; unreadable ones are unchanged."""
        readable = [at for at, item in enumerate(predictions) if item.prediction is not None]
        pairs = [(instructions[at], predictions[at].prediction or "") for at in readable]
        cosines = _cosines(pairs, self.encoder) if self.encoder else [None] * len(pairs)
        found = list(predictions)
        for at, pair, cosine in zip(readable, pairs, cosines, strict=True):
            overlap = rouge_l(*pair, TOKENIZERS[self.tokenizer])
            found[at] = replace(found[at], rouge_l=overlap, embedding=cosine, embedding_model=self.name)
        return found

    def rescore(
        self,
        file: PredictionFile,
        predictions: Sequence[Prediction],
        instructions: dict[str, str],
        interrupted: Callable[[], str | None],
    ) -> str | None:
        """Score stored predictions again and journal the results; return why that ended early, or None."""
        for start in range(0, len(predictions), _ENCODED_TOGETHER):
            if reason := interrupted():
                return reason
            part = predictions[start : start + _ENCODED_TOGETHER]
            file.append(self.score(part, [instructions[item.record] for item in part]))
        return None


def _cosines(pairs: Sequence[tuple[str, str]], encoder: Encoder) -> list[float]:
    """Return the cosine of each pair's embeddings."""
    if not pairs:
        return []
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, encoder.encode(texts), strict=True))
    return [float(vectors[first] @ vectors[second]) for first, second in pairs]


@dataclass
class Consistency(Reviewer):
    """Self-consistency of the records of a run."""

    run: EarlierRun
    dataset: Sequence[tuple[Record, dict[str, Any]]]
    options: ConsistencyOptions
    _scorer: "PredictionScorer | None" = field(default=None, init=False)

    purpose = "consistency"
    deciding = CONSISTENCY_DECIDING
    answers = "predictions are stored"
    captions = ("the kept records", "every prediction with its scores")

    @property
    def path(self) -> Path:
        """The run's predictions."""
        return self.run.folder / PREDICTIONS

    @property
    def kept_path(self) -> Path:
        """The file of the kept records."""
        return self.run.folder / CONSISTENT

    @property
    def report_path(self) -> Path:
        """The report, a JSON file of counts."""
        return self.run.folder / CONSISTENCY_REPORT

    @property
    def log_folder(self) -> Path:
        """The run's directory."""
        return self.run.folder

    @cached_property
    def format(self) -> RecordFormat:
        """The run's format in reverse: the output, the input if there is one, the instruction last."""
        format = self.run.format(self.config)
        return format.in_order(*reversed(format.fields))

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records by id, in order."""
        return {record.id: record for record, _ in self.dataset}

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials in the order of asking: each record once, then each record again."""
        return [(name, trial) for trial in range(self.options.num_trials) for name in self.records]

    def demonstrations(self) -> list[Record]:
        """The seed tasks of the run."""
        return self.run.recipe(self.config, given=()).seeds

    def embedding_model(self, found: Mapping[Trial, Prediction]) -> str:
        """Return the embedding model: the given one, else that of the stored scores, else the run's."""
        stored = [item.embedding_model for item in found.values() if item.embedding_model]
        wanted = self.config.novelty.embedding_model_name_or_path
        return wanted if "embedding_model_name_or_path" in self.given or not stored else stored[-1]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Check stored predictions; also raise UserError if the run was scripted and no model is given."""
        if self.missing(found) and self.config.model.engine == "scripted" and "script_path" not in self.given:
            raise UserError(
                "the run replayed a script, which cannot predict instructions; give --model_name_or_path, or --engine scripted "
                "with --script_path"
            )
        super().check(found)

    def scorer(self, found: Mapping[Trial, Prediction]) -> Score:
        """Score by ROUGE-L and, unless --no_embeddings is given, by cosine; loads the embedding model once."""
        return self._scorer_of(found).score

    def complete(self, file: PredictionFile, interrupted: Callable[[], str | None]) -> str | None:
        """Add missing cosines to stored predictions."""
        if self.options.no_embeddings:
            return None
        name = self.embedding_model(file.latest)
        used = [file.latest[trial] for trial in self.trials if trial in file.latest]
        lacking = [item for item in used if item.prediction is not None and item.embedding_model != name]
        if not lacking:
            return None
        instructions = {name: record.instruction for name, record in self.records.items()}
        return self._scorer_of(file.latest).rescore(file, lacking, instructions, interrupted)

    def decide(self, found: Mapping[Trial, Prediction]) -> ReviewResult:
        """Keep the records whose scores reach the thresholds."""
        options = self.options
        cosine = None if options.no_embeddings else options.self_consistency_threshold
        thresholds = Thresholds(cosine, options.self_consistency_rouge_threshold)
        used = {name: [found[name, trial] for trial in range(options.num_trials)] for name in self.records}
        agreements = {
            name: agreement(items, options.self_consistency_rule, not options.no_embeddings)
            for name, items in used.items()
        }
        kept = []
        for record, row in self.dataset:
            scores = agreements[record.id]
            if thresholds.drop_reason(scores) is None:
                kept.append(
                    json_line({**row, "provenance": {**row["provenance"], "self_consistency": asdict(scores)}})
                )
        everything = [item for items in used.values() for item in items]
        counts = statistics(list(agreements.values()), everything, thresholds, options.self_consistency_rule)
        counts["options"] = {**asdict(options), **self.given_options}
        name = "self_consistency_rouge_threshold" if cosine is None else "self_consistency_threshold"
        other = name, other_threshold(getattr(options, name) or 0.5)
        unused = len({item.trial for item in found.values()} - set(range(options.num_trials)))
        note = [f"{unused} more trials are stored but not used; raise --num_trials to use them."] if unused else []
        unread = [(item, item.reason or "") for item in everything if item.prediction is None]
        lines = unread_lines("prediction", unread, len(everything))
        if unread and len(unread) == len(everything):
            return ReviewResult(kept, counts, [*lines, "", *note], None)
        return ReviewResult(kept, counts, [table(counts), "", *lines, *([""] if lines else []), *note], other)

    def _scorer_of(self, found: Mapping[Trial, Prediction]) -> "PredictionScorer":
        if self._scorer is None:
            words = self.config.novelty.rouge_tokenizer
            if self.options.no_embeddings:
                self._scorer = PredictionScorer(tokenizer=words)
                return self._scorer
            name = self.embedding_model(found)
            try:
                self._scorer = PredictionScorer(SentenceEncoder(name), name, words)
            except UserError as error:
                raise UserError(f"{error}; or compare by ROUGE-L only, with --no_embeddings") from error
        return self._scorer


def consistency_of(given: Mapping[str, Any], prompt_path: Path) -> Consistency:
    """Return the reviewer for the given options; `prompt_path` is the default header. Raises UserError for a wrong option."""
    if "batch_dir" not in given:
        raise UserError("--batch_dir is missing; give the directory of the run to test")
    options = ConsistencyOptions(**{name: given[name] for name in CONSISTENCY_OWN if name in given})
    if options.no_embeddings and "self_consistency_threshold" in given:
        raise UserError(
            "--self_consistency_threshold is a cosine, which --no_embeddings leaves out; give one of the two"
        )
    if options.no_embeddings and options.self_consistency_rouge_threshold is None:
        raise UserError("--no_embeddings needs --self_consistency_rouge_threshold to decide by; give both")
    run = read_run(Path(given["batch_dir"]))
    header = read_header(Path(given.get("prompt_path", prompt_path)))
    return Consistency(_config_of(run.options, given), header, given, run, run.dataset(), options)


def _config_of(earlier: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    """Return the run's options, replaced by the given ones; options of the run's model do not apply to another model."""
    values = {name: value for name, value in earlier.items() if name not in NOT_OF_THE_RUN}
    engines = {"api_base": "openai", "model_name_or_path": "huggingface", "script_path": "scripted"}
    asked = given.get("engine") or next((engine for name, engine in engines.items() if name in given), None)
    if asked is not None and (
        asked != earlier.get("engine", "huggingface") or given.keys() & {"model_name_or_path", "script_path"}
    ):
        for name in ("model_name_or_path", "model_revision", "adapter", "attn_implementation", "quantization"):
            values[name] = None
        values["engine"] = asked
    return assemble({**values, **{name: value for name, value in given.items() if name not in CONSISTENCY_OWN}})
