"""Scores of records by a small model's losses: IFD and likelihood, as columns of the rows.

The losses are journalled and the scores computed from them, so another selection or another score needs no model. With
L(A|Q) the mean negative log-likelihood of the tokens of an answer after its task, and L(A) the same without the task:

    ifd        = L(A|Q) / L(A)      Instruction-Following Difficulty (li2024quantity); a small model ranks records as a large
                                    one does (li2024superfiltering)
    likelihood = exp(-L(A|Q))       the geometric mean of the probabilities of the tokens, that is, normalised by length

As in the authors' code, L(A) keeps the text that opens an answer (of the chat template, or "### Response:"). An IFD of 1 or
more means that the task does not help to predict the answer; such records are left out in that work.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, Any

from self_instruct.config.option import taken
from self_instruct.engines.fleet.world import current_world
from self_instruct.engines.local.placement import Placement
from self_instruct.errors import UserError
from self_instruct.generation.assembly import template_arguments
from self_instruct.generation.config import Config, flatten
from self_instruct.generation.progress import Progress
from self_instruct.generation.run import Ended
from self_instruct.generation.signals import Interruption
from self_instruct.records import Record, is_blank, json_line
from self_instruct.review.dataset import ReviewPaths, model_config, read_sources
from self_instruct.review.options import SCORE_DECIDING, ScoreOptions
from self_instruct.review.predictions import sha256_of_record
from self_instruct.runs.files import AppendedFile, line_reader, put, read_lines
from self_instruct.runs.layout import SCORE_REPORT, SCORED, SCORES

if TYPE_CHECKING:
    from self_instruct.engines.local.likelihood import Answer, AnswerModel

NO_ANSWER, TOO_LONG, NOT_FINITE = "no_answer", "prompt_too_long", "not_finite"
REASONS = {
    NO_ANSWER: "the record has no answer",
    TOO_LONG: "the task alone fills the model's context",
    NOT_FINITE: "the model's loss is not a finite number",
}
"""Why a record has no score."""
_TOGETHER = 512  # records that are sorted by length for batches
_LEVELS = ("lowest", "25%", "median", "75%", "highest")


@dataclass(frozen=True)
class Losses:
    """The losses of one record, or the `reason` why there are none. `loss_alone` is None if it was not asked for.

    `tokens` are the tokens of the answer that were counted, and `cut` those at its end that had no room.
    """

    record: str
    record_sha256: str
    model: str
    model_revision: str
    options: dict[str, Any]
    tokens: int
    cut: int
    loss: float | None
    loss_alone: float | None
    reason: str | None = None

    def score(self, name: str) -> float | None:
        """Return a score, rounded to 6 digits; None if the losses do not determine it."""
        if self.loss is None:
            return None
        if name == "likelihood":
            return round(math.exp(-max(0.0, self.loss)), 6)
        return round(self.loss / self.loss_alone, 6) if self.loss_alone else None


_NUMBER = (float, int, type(None))
_read_losses = line_reader(
    Losses,
    {
        "record": str, "record_sha256": str, "model": str, "model_revision": str, "options": dict, "tokens": int,
        "cut": int, "loss": _NUMBER, "loss_alone": _NUMBER,
    },
    "the losses of a record",
)  # fmt: skip


@dataclass
class Scorer:
    """Scores the records of `dataset`, which holds each record with its original line, with the model of `config`."""

    config: Config
    given: Mapping[str, Any]
    dataset: Sequence[tuple[Record, bytes]]
    inputs: Sequence[str]
    outputs: ReviewPaths
    scores: Sequence[str]

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records by id, in order."""
        return {record.id: record for record, _ in self.dataset}

    @property
    def model(self) -> str | None:
        """The name of the model; None to use stored losses only."""
        return self.config.model.model_name_or_path

    @property
    def options(self) -> dict[str, Any]:
        """The options that change a loss, by name."""
        values = flatten(self.config)
        return {name: values[name] for name in SCORE_DECIDING}

    def stored(self) -> dict[str, Losses]:
        """Return the stored losses by record, without those of records that have changed since.

        Raises UserError if they were made with another model or other options, or if there are none and no model is given.
        """
        path = self.outputs.answers
        found = {item.record: item for item in read_lines(path, _read_losses).found} if path.is_file() else {}
        if self.model is None and not found:
            raise UserError(f"{path}: holds no scores yet; give a model with --model_name_or_path")
        for item in found.values() if self.model is not None else ():
            changes = [
                f"--{name} was {item.options.get(name)!r} and is now {value!r}"
                for name, value in self.options.items()
                if item.options.get(name) != value
            ]
            if item.model != self.model:
                changes.append(f"the model was {item.model} and is now {self.model}")
            self._refuse(changes)
        hashes = {name: sha256_of_record(record) for name, record in self.records.items()}
        return {name: item for name, item in found.items() if hashes.get(name) == item.record_sha256}

    def check_model(self, found: Iterable[Losses], revision: str) -> None:
        """Raise UserError if stored losses come from another revision of the model."""
        other = next((item.model_revision for item in found if item.model_revision != revision), None)
        if other is not None:
            self._refuse([f"the revision of {self.model} was {other} and is now {revision}"])

    def _refuse(self, changes: Sequence[str]) -> None:
        if changes:
            raise UserError(
                f"{self.outputs.answers}: holds scores made with other options: {'; '.join(changes)}. Give the earlier "
                "values, or move that file away to start over"
            )

    def missing(self, found: Mapping[str, Losses]) -> set[str]:
        """Return the ids of the records whose scores need more losses than are stored."""
        alone = "ifd" in self.scores
        return {
            name
            for name in self.records
            if name not in found
            or (
                found[name].reason is None and (found[name].loss is None or (alone and found[name].loss_alone is None))
            )
        }

    def load(self) -> "AnswerModel":
        """Load the model."""
        from self_instruct.engines.local.likelihood import load_answer_model

        options = self.config.model
        return load_answer_model(
            str(self.model), revision=options.model_revision,
            placement=Placement(options.dtype, options.attn_implementation, options.quantization, options.device_map),
            trust_remote_code=options.trust_remote_code, adapter=options.adapter,
            chat_template=self.config.prompt.chat_template, arguments=template_arguments(self.config),
            max_length=self.config.sampling.max_length,
        )  # fmt: skip

    def measured(self, model: "AnswerModel", names: set[str]) -> Iterator[list[Losses]]:
        """Yield the losses of these records, batch by batch.

        The batches are made from all records, so a command that was stopped and continued gives the same losses.
        """
        from self_instruct.engines.local.likelihood import batches

        everyone = list(self.records.values())
        for begin in range(0, len(everyone), _TOGETHER):
            together = everyone[begin : begin + _TOGETHER]
            if names.isdisjoint(record.id for record in together):
                continue
            encoded = [model.encode(record.task, record.output) for record in together]
            unusable = [
                self._losses(record, model.revision, answer, reason=reason)
                for record, answer in zip(together, encoded, strict=True)
                if (reason := _unusable_reason(record, answer)) is not None
            ]
            yield [item for item in unusable if item.record in names]
            usable = [at for at, record in enumerate(together) if _unusable_reason(record, encoded[at]) is None]
            for batch in batches([len(encoded[at].prompt) + len(encoded[at].answer) for at in usable]):
                chosen = [usable[index] for index in batch]
                if not names.isdisjoint(together[at].id for at in chosen):
                    losses = self._batch(model, [(together[at], encoded[at]) for at in chosen])
                    yield [item for item in losses if item.record in names]

    def _batch(self, model: "AnswerModel", rows: Sequence[tuple[Record, "Answer"]]) -> list[Losses]:
        after = model.losses([(answer.prompt, answer.answer) for _, answer in rows])
        alone: list[float | None] = [None] * len(rows)
        if "ifd" in self.scores:
            alone = [*model.losses([(answer.opening, answer.answer) for _, answer in rows])]
        found = []
        for (record, answer), loss, other in zip(rows, after, alone, strict=True):
            finite = all(math.isfinite(value) for value in (loss, other) if value is not None)
            whole = self._losses(record, model.revision, answer, loss, other)
            found.append(whole if finite else replace(whole, loss=None, loss_alone=None, reason=NOT_FINITE))
        return found

    def _losses(
        self,
        record: Record,
        revision: str,
        answer: "Answer",
        loss: float | None = None,
        alone: float | None = None,
        reason: str | None = None,
    ) -> Losses:
        return Losses(
            record.id, sha256_of_record(record), str(self.model), revision, self.options, len(answer.answer), answer.cut,
            loss, alone, reason,
        )  # fmt: skip

    def lines(self, found: Mapping[str, Losses]) -> Iterator[bytes]:
        """Yield the rows with their scores as columns; null where a record has none."""
        for record, line in self.dataset:
            item = found.get(record.id)
            scores = {name: item.score(name) if item is not None else None for name in self.scores}
            yield json_line({**json.loads(line), **scores})

    def counts(self, found: Mapping[str, Losses]) -> dict[str, Any]:
        """Return the counts for the report."""
        items = [found[name] for name in self.records if name in found]
        values = {name: [score for item in items if (score := item.score(name)) is not None] for name in self.scores}
        return {
            "records": len(self.dataset), "scored": sum(item.loss is not None for item in items),
            "repeated": len(self.dataset) - len(self.records),
            "unscored": dict(sorted(Counter(item.reason for item in items if item.reason is not None).items())),
            "not_asked": len(self.records) - len(items),
            "answers_cut": sum(item.cut > 0 and item.loss is not None for item in items),
            "tokens": sum(item.tokens for item in items),
            "scores": {name: {"mean": round(fmean(some), 6), **_levels(some)} for name, some in values.items() if some},
            "ifd_of_1_or_more": sum(score >= 1 for score in values.get("ifd", ())),
            "models": [
                {"model": model, "model_revision": revision}
                for model, revision in sorted({(item.model, item.model_revision) for item in items})
            ],
            "inputs": [{"path": path} for path in self.inputs], "options": {"scores": list(self.scores), **self.options},
        }  # fmt: skip


def score(scorer: Scorer) -> Ended:
    """Measure the losses that are missing, and write the scored rows and the report. Only rank 0 of a launch works.

    Raises UserError for a wrong option, or if stored losses were made with another model or other options.
    """
    if not current_world().is_main:
        return Ended(0)
    found = scorer.stored()
    interruption = Interruption()
    if scorer.model is not None and (names := scorer.missing(found)):
        stopped = _measure(scorer, names, found, interruption)
        if stopped is not None:
            left, total = len(scorer.missing(found)), len(scorer.records)
            text = f"Stopped: {stopped}.\n{total - left:,} of {total:,} records are scored; run the same command to continue."
            return Ended(128 + (interruption.received or 0), text)
    counts = scorer.counts(found)
    put(scorer.outputs.kept, b"".join(scorer.lines(found)))
    put(scorer.outputs.report, (json.dumps(counts, indent=2) + "\n").encode())
    return Ended(0, _summary(scorer, counts))


def _measure(scorer: Scorer, names: set[str], found: dict[str, Losses], interruption: Interruption) -> str | None:
    """Journal the losses of these records and add them to `found`; return why that ended early, or None."""
    model = scorer.load()
    scorer.check_model(found.values(), model.revision)
    file = AppendedFile(scorer.outputs.answers, _read_losses)
    progress = Progress(len(scorer.records), unit="records scored", every=scorer.config.reporting.heartbeat_seconds)
    interruption.set_callback(lambda: None)
    try:
        progress.begin(len(scorer.records) - len(names))
        for losses in scorer.measured(model, names):
            file.append(asdict(item) for item in losses)
            found.update((item.record, item) for item in losses)
            names -= {item.record for item in losses}
            progress.reach(len(scorer.records) - len(names))
            if reason := interruption.reason():
                return reason
    finally:
        progress.close()
        file.close()
    return None


def _unusable_reason(record: Record, answer: "Answer") -> str | None:
    if is_blank(record.output):
        return NO_ANSWER
    return None if answer.answer else TOO_LONG


def _levels(values: Sequence[float]) -> dict[str, float]:
    inner = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return dict(zip(_LEVELS, (min(values), *(round(value, 6) for value in inner), max(values)), strict=True))


def _summary(scorer: Scorer, counts: Mapping[str, Any]) -> str:
    kept = scorer.outputs.kept
    lines = ["", f"{counts['scored']:,} of {counts['records'] - counts['repeated']:,} records have scores.", ""]
    lines.append(f"{'score':<12}{''.join(f'{level:>10}' for level in _LEVELS)}")
    lines += [
        f"{name:<12}{''.join(f'{found[level]:>10.3f}' for level in _LEVELS)}"
        for name, found in counts["scores"].items()
    ]
    lines.append("")
    if number := counts["ifd_of_1_or_more"]:
        lines.append(f"{number:,} with an IFD of 1 or more: the task does not help the model to predict the answer.")
    if number := counts["answers_cut"]:
        lines.append(
            f"{number:,} with the end of the answer left out, because it does not fit into the model's context."
        )
    if number := counts["repeated"]:
        lines.append(f"{number:,} rows that repeat an earlier one's texts share its scores.")
    lines += [f"{number:,} without scores: {REASONS.get(name, name)}." for name, number in counts["unscored"].items()]
    if number := counts["not_asked"]:
        lines.append(f"{number:,} without scores: no model has read them yet.")
    by = scorer.scores[0]
    limit = " --max ifd=1" if by == "ifd" else ""
    return "\n".join(
        [
            *lines,
            f"Files in {kept.parent}:",
            f"  {kept.name:<38} all rows, with their scores as columns",
            f"  {scorer.outputs.answers.name:<38} the losses, with the record's id",
            f"  {scorer.outputs.report.name:<38} the counts",
            "Next:",
            f"  self-instruct select {kept} --by {by} --top 0.5{limit} --output_path selected.jsonl",
        ]
    )  # fmt: skip


def scorer_of(given: Mapping[str, Any]) -> Scorer:
    """Return the scorer for the given options. Raises UserError for a wrong option, and for records that cannot be read."""
    names, endings = (SCORES, SCORED, SCORE_REPORT), (f".{SCORES}", f".{SCORE_REPORT}")
    place = given.get("batch_dir")
    if place is not None and Path(place).is_file():  # RUN_OR_FILE
        given = {name: value for name, value in given.items() if name != "batch_dir"} | {"input_path": [str(place)]}
    sources = read_sources(given, "score", names, endings)
    return Scorer(model_config(given, {}, 1), given, *sources, list(dict.fromkeys(taken(ScoreOptions, given).scores)))
