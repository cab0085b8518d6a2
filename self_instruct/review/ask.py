"""Ask a model about existing records, journal and score its predictions, and decide which records to keep.

A `Reviewer` defines the questions about records and the decision from the answers; the judge and self-consistency are
reviewers. `review` asks for missing answers, resumes after a stop, and writes the kept records and the report. All records have
the same demonstrations in a trial, so they are compared on equal terms, and an engine with a prefix cache reads the
demonstrations once.
"""

import json
import logging
import shlex
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from self_instruct.config.program import with_option
from self_instruct.engines.base import UNANSWERED, Completion, Engine, EngineLost, Request
from self_instruct.engines.fleet.world import World, current_world
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.assembly import build_composer, build_origin, build_spending
from self_instruct.generation.config import Config, flatten
from self_instruct.generation.loop import ERRORS_IN_A_ROW
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptComposer, read_last, stop_texts
from self_instruct.generation.run import Ended
from self_instruct.generation.signals import Interruption
from self_instruct.generation.workers import serve, started
from self_instruct.records import Prompt, Record
from self_instruct.review.predictions import (
    ERROR,
    Prediction,
    PredictionFile,
    Trial,
    answered,
    header_hash,
    read_predictions,
    sha256_of_record,
)
from self_instruct.runs import logs
from self_instruct.runs.files import put
from self_instruct.runs.spending import Spending

MAX_IN_FLIGHT = 512  # requests
_SAMPLES, _SAMPLE_LENGTH = 3, 200  # texts, characters
TOO_LONG = "prompt_too_long"
Score = Callable[[Sequence[Prediction], Sequence[str]], list[Prediction]]
"""Scores predictions, each against the instruction of its record."""
_PLACES = ("batch_dir", "input_path", "output_path")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReviewResult:
    """The lines of the kept records, the counts for the report, and the summary to print.

    `option` is another threshold to try, as option name and value; None if no threshold would keep a record.
    """

    kept: Sequence[bytes]
    counts: Mapping[str, Any]
    summary: Sequence[str]
    option: tuple[str, float] | None


@dataclass
class Reviewer(ABC):
    """Defines the questions about records, the model and its options, and the decision from the answers.

    `given` are the options of this launch. `purpose` seeds the requests, `deciding` names the options that change an answer,
    `answers` follows the number of answers in a message, and `captions` describe the files of kept records and predictions.
    With --constrain, an answer must match `pattern`, or `schema` on servers that know only JSON schemas.
    """

    config: Config
    header: str
    given: Mapping[str, Any]

    purpose: ClassVar[str]
    deciding: ClassVar[tuple[str, ...]]
    answers: ClassVar[str]
    captions: ClassVar[tuple[str, str]]
    pattern: ClassVar[str | None] = None
    schema: ClassVar[str | None] = None

    @property
    @abstractmethod
    def path(self) -> Path:
        """The journal of the predictions."""

    @property
    @abstractmethod
    def kept_path(self) -> Path:
        """The file of the kept records."""

    @property
    @abstractmethod
    def report_path(self) -> Path:
        """The report, a JSON file of counts."""

    @property
    @abstractmethod
    def format(self) -> RecordFormat:
        """The format of a record; the model writes the last field."""

    @property
    @abstractmethod
    def records(self) -> Mapping[str, Record]:
        """The records by id, in order."""

    @property
    @abstractmethod
    def trials(self) -> Sequence[Trial]:
        """All trials in the order of asking."""

    @abstractmethod
    def demonstrations(self) -> list[Record]:
        """Return the demonstrations, with all fields. Raises UserError if they cannot be read."""

    @abstractmethod
    def decide(self, found: Mapping[Trial, Prediction]) -> ReviewResult:
        """Decide from all predictions which records to keep."""

    @property
    def asks(self) -> bool:
        """Whether to ask for missing predictions."""
        return True

    @property
    def log_folder(self) -> Path | None:
        """The run directory for the log of this launch, or None."""
        return None

    def composer_for(self, composer: PromptComposer, record: Record) -> PromptComposer:
        """Return the composer of the questions about a record."""
        return composer

    def scorer(self, found: Mapping[Trial, Prediction]) -> Score | None:
        """Return the function that scores new predictions, or None to store them unscored."""
        return None

    def complete(self, file: PredictionFile, interrupted: Callable[[], str | None]) -> str | None:
        """Add missing scores to stored predictions; return why that ended early, or None."""
        return None

    @property
    def model(self) -> str:
        """The name of the model."""
        return build_origin(self.config, self.format, "").model

    @property
    def deciding_options(self) -> dict[str, Any]:
        """The options that change a prediction, by name. The value of --constrain is the pattern that it enforces."""
        values = flatten(self.config)
        values["constrain"] = values["constrain"] and self.pattern
        return {name: values[name] for name in self.deciding}

    @property
    def given_options(self) -> dict[str, Any]:
        """The options of this launch for the report, without input and output paths."""
        return {name: value for name, value in self.given.items() if name not in _PLACES}

    def missing(self, found: Mapping[Trial, Prediction]) -> list[int]:
        """Return the indices of the trials without an answer."""
        return [at for at, trial in enumerate(self.trials) if not answered(found, trial)]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Raise UserError if stored predictions are about other records, or were made with other options.

        If none is missing, only options that were given are compared, since nothing will be asked.
        """
        for item in found.values():
            if item.record in self.records and item.record_sha256 != sha256_of_record(self.records[item.record]):
                raise UserError(
                    f"{self.path}: holds a prediction for record {item.record}, which has changed since; the records "
                    "were generated again, so move that file away to start over"
                )
        asks = bool(self.missing(found))
        now, before = self.deciding_options, {"constrain": False}  # of versions without the option
        for item in _answers(found):
            earlier = {**before, **item.options}
            changes = [
                f"--{name} was {earlier.get(name)!r} and is now {value!r}"
                for name, value in now.items()
                if (asks or name in self.given) and earlier.get(name) != value
            ]
            if (asks or "prompt_path" in self.given) and item.header_sha256 != header_hash(self.header):
                changes.append("the header of the prompt has changed")
            if not asks and "model_name_or_path" in self.given and item.model != self.model:
                changes.append(f"the model was {item.model} and is now {self.model}")
            self._refuse(changes)

    def check_model(self, found: Mapping[Trial, Prediction], revision: str) -> None:
        """Raise UserError if stored predictions come from another model."""
        for item in _answers(found):
            if item.model_revision != revision:
                self._refuse(
                    [f"the model was {item.model} ({item.model_revision}) and is now {self.model} ({revision})"]
                )

    def _refuse(self, changes: list[str]) -> None:
        if changes:
            raise UserError(
                f"{self.path}: holds predictions made with other options: {'; '.join(changes)}. Give the earlier values, "
                "or move that file away to start over"
            )


def review(reviewer: Reviewer, again: Sequence[str]) -> Ended:
    """Ask for the missing predictions, as one process of a launch, and write the kept records and the report.

    `again` is the argv of this command; the summary shows it with another threshold. Raises UserError for a wrong option, or
    if stored predictions were made with other options.
    """
    world, path = current_world(), reviewer.path
    found = read_predictions(path.parent, path.name)
    reviewer.check(found)
    missing, interruption = reviewer.asks and bool(reviewer.missing(found)), Interruption()
    if reviewer.log_folder is not None:
        logs.write_to(reviewer.log_folder, world.rank)
    if not world.is_main:
        return Ended(_serve(reviewer, world, interruption) if missing else 0)
    file = PredictionFile(path.parent, path.name)
    try:
        stopped, failed = _ask(reviewer, file, world, interruption) if missing else (None, False)
        stopped = stopped or reviewer.complete(file, interruption.reason)
        if stopped is None:
            return Ended(0, _written(reviewer, file, again))
        there, total = len(reviewer.trials) - len(reviewer.missing(file.latest)), len(reviewer.trials)
        text = f"Stopped: {stopped}.\n{there:,} of {total:,} {reviewer.answers}; run the same command to continue."
        return Ended(128 + interruption.received if interruption.received and not failed else 1, text)
    finally:
        file.close()


def _written(reviewer: Reviewer, file: PredictionFile, again: Sequence[str]) -> str:
    """Write the kept records and the report; return the summary to print."""
    decision, kept, report = reviewer.decide(file.latest), reviewer.kept_path, reviewer.report_path
    put(kept, b"".join(decision.kept))
    put(report, (json.dumps(decision.counts, indent=2) + "\n").encode())
    captions = zip((kept, reviewer.path), reviewer.captions, strict=True)
    return "\n".join(
        [
            "", *decision.summary,
            f"Files in {kept.parent}:",
            *(f"  {path.name:<38} {caption}" for path, caption in captions),
            f"  {report.name:<38} the counts",
            "Next:",
            *_next(reviewer.path, again, decision.option),
        ]
    )  # fmt: skip


def _next(path: Path, again: Sequence[str], option: tuple[str, float] | None) -> list[str]:
    if option is not None:
        command = with_option(again, [f"--{option[0]}"], f"{option[1]:g}")
        return ["  another threshold, from the stored answers:", f"    {shlex.join(command)}"]
    return [
        "  use a model that follows examples better, or allow longer answers with --max_new_tokens;",
        f"  move {path} away first, because stored answers are reused",
    ]


def _ask(
    reviewer: Reviewer, file: PredictionFile, world: World, interruption: Interruption
) -> tuple[str | None, bool]:
    """Ask for the predictions that are missing; return why that ended early, or None, and whether the engine failed."""
    missing, total = reviewer.missing(file.latest), len(reviewer.trials)
    demonstrations, spending = reviewer.demonstrations(), build_spending(reviewer.config)
    for item in file.latest.values():
        spending.count(item.usage)
    before = total - len(missing)
    if before:
        _log.info("Resuming %s with %d of %d predictions.", reviewer.path.parent, before, total)
    progress = Progress(total, unit="predictions", every=reviewer.config.reporting.heartbeat_seconds)
    folder = reviewer.path.parent
    with started(reviewer.config, world, folder, interruption, progress.step) as generators:
        interruption.set_callback(generators.engine.interrupt)
        revision = generators.reader.model_revision
        reviewer.check_model(file.latest, revision)
        composer = build_composer(reviewer.config, reviewer.format, reviewer.header, demonstrations, generators.reader)
        origin = {"model": reviewer.model, "model_revision": revision, "options": reviewer.deciding_options}
        asker = Asker(
            composer,
            generators.engine,
            file,
            reviewer.scorer(file.latest),
            origin,
            interruption.reason,
            reviewer.purpose,
            spending,
            reviewer.pattern if reviewer.config.sampling.constrain else None,
            reviewer.schema if reviewer.config.sampling.constrain else None,
            reviewer.composer_for,
        )
        trials = reviewer.trials
        questions = [Question(at, reviewer.records[trials[at][0]], trials[at][1]) for at in missing]
        progress.begin(before)
        try:
            asker.run(questions, progress, before)
        finally:
            progress.close()
    return asker.stopped, asker.failed


def _serve(reviewer: Reviewer, world: World, interruption: Interruption) -> int:
    """Generate for rank 0, as every other rank does; return the exit code."""
    try:
        return serve(reviewer.config, world, reviewer.path.parent, interruption)
    except UserError as error:
        raise UserError(str(error), world.rank) from error


def _answers(found: Mapping[Trial, Prediction]) -> Iterable[Prediction]:
    return (item for item in found.values() if item.reason != ERROR)


def unread_lines(noun: str, unread: Sequence[tuple[Prediction, str]], total: int) -> list[str]:
    """Return lines about the answers that could not be parsed, given with their reasons: the counts by reason, and examples of
    what the model wrote, escaped. `total` counts all answers, and `noun` names one.
    """
    if not unread:
        return []
    counts = Counter(reason for _, reason in unread)
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(counts.items()))
    if len(unread) == total:
        head = f"No {noun} could be read, so no record was kept ({reasons})."
    else:
        head = f"{len(unread):,} of {total:,} {noun}s could not be read ({reasons})."
    return [f"{head} The model wrote, for example:", *(_sample(item) for item, _ in unread[:_SAMPLES])]


def _sample(item: Prediction) -> str:
    written = repr(item.text[:_SAMPLE_LENGTH]) + (" ..." if len(item.text) > _SAMPLE_LENGTH else "")
    failed = f" (the request failed: {item.error!r})" if item.error else ""
    return f"  {item.record}: {written}{failed}"


@dataclass(frozen=True)
class Question:
    """One trial of one record; `index` is its number among all trials, answered or not."""

    index: int
    record: Record
    trial: int


@dataclass
class Asker:
    """Asks questions and journals the predictions. `origin` holds the fields that all predictions of the launch share; without
    `score` they are journalled unscored. `purpose` is part of each request's seed.

    `spending` holds the tokens and costs so far, and the budgets. Afterwards `failed` is whether the engine failed, and
    `stopped` the reason why not all questions were answered, or None.
    """

    composer: PromptComposer
    engine: Engine
    file: PredictionFile
    score: Score | None
    origin: dict[str, Any]
    interrupted: Callable[[], str | None]
    purpose: str = "consistency"
    spending: Spending = field(default_factory=Spending)
    pattern: str | None = None
    schema: str | None = None
    composer_for: Callable[[PromptComposer, Record], PromptComposer] = lambda composer, _: composer
    failed: bool = False
    stopped: str | None = None
    _in_flight: dict[int, tuple[Question, Prompt]] = field(default_factory=dict)
    _errors: int = 0

    def run(self, questions: Sequence[Question], progress: Progress, before: int) -> None:
        """Ask the questions until a budget, signal or failure ends it, and journal every answer. Progress starts at `before`,
        the number of answers from earlier launches.
        """
        waiting = deque(questions)
        try:
            while (waiting or self._in_flight) and self.stopped is None:
                self._submit(waiting)
                if waiting and not self._in_flight:
                    self.stopped = self.spending.spent()
                    break
                self._take(self.engine.poll())
                progress.reach(before + len(questions) - len(waiting) - len(self._in_flight))
                self.stopped = self.stopped or self.interrupted()
        except EngineLost as error:
            self.failed, self.stopped = True, str(error)
        except UserError:
            self._take_the_rest()
            raise
        if self.stopped is not None:
            self._take_the_rest()

    def _take_the_rest(self) -> None:
        """Journal the completions that have already finished."""
        self.engine.interrupt()
        self._take(self.engine.poll())

    def _submit(self, waiting: deque[Question]) -> None:
        requests, refused = [], []
        while waiting and len(self._in_flight) < MAX_IN_FLIGHT and self.spending.allows(len(self._in_flight)):
            question = waiting.popleft()
            prompt = self.composer_for(self.composer, question.record).compose(question.trial, [], question.record)
            if not self.composer.fits(prompt):
                # The prompt will not fit in a later launch either, so store this as its answer.
                refused.append(self._prediction(question, prompt, Completion(question.index, "", "error", 0, 0)))
                continue
            self._in_flight[question.index] = question, prompt
            seed = f"{self.purpose}:{self.composer.seed}:{question.record.id}:{question.trial}"
            stop = stop_texts(self.composer.format, prompt.number)
            request = Request(question.index, prompt.text, prompt.opening, stop, seed)
            requests.append(replace(request, pattern=self.pattern, schema=self.schema))
        if refused:
            self.file.append([replace(item, reason=TOO_LONG) for item in refused])
        self.engine.submit(requests)

    def _take(self, completions: Sequence[Completion]) -> None:
        asked = [(*self._in_flight.pop(item.request), item) for item in completions]
        predictions = [self._prediction(*item) for item in asked]
        if self.score is not None:
            predictions = self.score(predictions, [question.record.instruction for question, *_ in asked])
        self.file.append(predictions)
        for prediction in predictions:
            self.spending.count(prediction.usage)
        for item in completions:
            self._errors = self._errors + 1 if item.finish_reason == "error" else 0
            if self._errors >= ERRORS_IN_A_ROW:
                self.failed = True
                self.stopped = f"the last {ERRORS_IN_A_ROW} {UNANSWERED}: {item.error}"

    def _prediction(self, question: Question, prompt: Prompt, completion: Completion) -> Prediction:
        predicted, reason = read_last(self.composer.format, prompt.number, question.record, completion)
        answer = asdict(completion)
        del answer["request"]
        return Prediction(
            record=question.record.id, record_sha256=sha256_of_record(question.record), trial=question.trial,
            prediction=predicted, reason=reason, rouge_l=None, embedding=None, embedding_model=None, **self.origin,
            header_sha256=header_hash(self.composer.header), prompt_sha256=prompt.sha256,
            seed_ids=prompt.seed_ids, **answer,
        )  # fmt: skip
