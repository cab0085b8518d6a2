"""Asking a model about records that exist: one or more trials for each, journalled as predictions, scored, and decided on.

A `Reviewer` says what is asked about which records and what follows from the answers; the judge and self-consistency are
reviewers. `review` does the rest: it asks for what is missing, goes on after a stop, and writes the records that stay and the
report. A trial shows the same demonstrations for every record, so that records are compared on equal terms and an engine that
shares the beginnings of prompts reads them once.
"""

import json
import logging
import shlex
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from self_instruct.config.program import with_option
from self_instruct.engines.base import Completion, Engine, EngineLost, Request
from self_instruct.engines.fleet.world import World, current_world
from self_instruct.errors import UserError
from self_instruct.formats import SEPARATOR, RecordFormat
from self_instruct.generation.assembly import build_composer, build_origin, build_spending
from self_instruct.generation.config import Config, flatten
from self_instruct.generation.loop import ERRORS_IN_A_ROW
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptComposer
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

UNDER_WAY = 512
TOO_LONG = "prompt_too_long"
Score = Callable[[Sequence[Prediction], Sequence[str]], list[Prediction]]
"""Scores predictions, each against the instruction of its record."""
_PLACES = ("batch_dir", "input_path", "output_path")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """What follows from the answers: the lines of the records that stay, the counts of the report, and the counts for people;
    `option` is another threshold to try: the name of its option and the value.
    """

    kept: Sequence[bytes]
    counts: Mapping[str, Any]
    summary: Sequence[str]
    option: tuple[str, float]


@dataclass
class Reviewer(ABC):
    """What is asked about records, of which model and how, and what follows from the answers. `given` are the options of this
    launch.

    `purpose` seeds the requests, `deciding` names the options that change an answer, `answers` is the end of a sentence that
    counts them, and `captions` say what the files of the records that stay and of the predictions hold.
    """

    config: Config
    header: str
    given: Mapping[str, Any]

    purpose: ClassVar[str]
    deciding: ClassVar[tuple[str, ...]]
    answers: ClassVar[str]
    captions: ClassVar[tuple[str, str]]

    @property
    @abstractmethod
    def path(self) -> Path:
        """The journal of the predictions."""

    @property
    @abstractmethod
    def kept_path(self) -> Path:
        """The file of the records that stay."""

    @property
    @abstractmethod
    def report_path(self) -> Path:
        """The file of the counts."""

    @property
    @abstractmethod
    def format(self) -> RecordFormat:
        """What is shown; the last field is asked for."""

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
        """The records of which the last field is shown too. Raises `UserError` if they cannot be read."""

    @abstractmethod
    def decide(self, found: Mapping[Trial, Prediction]) -> Decision:
        """Decide which records stay, from all predictions."""

    @property
    def asks(self) -> bool:
        """Whether missing predictions are asked for."""
        return True

    @property
    def log_folder(self) -> Path | None:
        """The run directory that gets the log of this launch, None where there is none."""
        return None

    def scorer(self, found: Mapping[Trial, Prediction]) -> Score | None:
        """Return what scores new predictions, None if they are stored as they are."""
        return None

    def complete(self, file: PredictionFile, interrupted: Callable[[], str | None]) -> str | None:
        """Add what stored predictions lack before they can be decided on; return why that ended early, or None."""
        return None

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        return build_origin(self.config, self.format, "").model

    @property
    def deciding_options(self) -> dict[str, Any]:
        """What decides a prediction, by option name."""
        values = flatten(self.config)
        return {name: values[name] for name in self.deciding}

    @property
    def given_options(self) -> dict[str, Any]:
        """The options of this launch, for the report: without the places of what is read and written."""
        return {name: value for name, value in self.given.items() if name not in _PLACES}

    def missing(self, found: Mapping[Trial, Prediction]) -> list[int]:
        """The places of the trials that have no answer yet."""
        return [at for at, trial in enumerate(self.trials) if not answered(found, trial)]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Raises `UserError` if predictions that are there were made of other records, or otherwise than is asked now.

        Where none is missing, only what was given counts, since nothing will be asked.
        """
        for item in found.values():
            if item.record in self.records and item.record_sha256 != sha256_of_record(self.records[item.record]):
                raise UserError(
                    f"{self.path}: holds a prediction for a record {item.record} that is another one now; the records were "
                    "made anew, so move that file away to begin anew too"
                )
        asks = bool(self.missing(found))
        now = self.deciding_options
        for item in _answers(found):
            changes = [
                f"--{name} was {item.options.get(name)!r} and is now {value!r}"
                for name, value in now.items()
                if (asks or name in self.given) and item.options.get(name) != value
            ]
            if (asks or "prompt_path" in self.given) and item.header_sha256 != header_hash(self.header):
                changes.append("the header of the prompt is another one")
            if not asks and "model_name_or_path" in self.given and item.model != self.model:
                changes.append(f"the model was {item.model} and is now {self.model}")
            self._refuse(changes)

    def check_model(self, found: Mapping[Trial, Prediction], revision: str) -> None:
        """Raises `UserError` if predictions that are there come from another model."""
        for item in _answers(found):
            if item.model_revision != revision:
                self._refuse(
                    [f"the model was {item.model} ({item.model_revision}) and is now {self.model} ({revision})"]
                )

    def _refuse(self, changes: list[str]) -> None:
        if changes:
            raise UserError(
                f"{self.path}: holds predictions that were asked for otherwise: {'; '.join(changes)}. Give the earlier values, "
                "or move that file away to begin anew"
            )


def review(reviewer: Reviewer, again: Sequence[str]) -> Ended:
    """Ask for the predictions that are missing, as one process of a launch, and write what follows from all of them.

    `again` is the command that decides again, word by word, for the text at the end. Raises UserError for a mistake of the
    user's, or if stored predictions were asked for otherwise.
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
        text = f"Stopped: {stopped}.\n{there:,} of {total:,} {reviewer.answers}; the same command goes on."
        return Ended(128 + interruption.received if interruption.received and not failed else 1, text)
    finally:
        file.close()


def _written(reviewer: Reviewer, file: PredictionFile, again: Sequence[str]) -> str:
    """Write the records that stay and the report; return the text for people."""
    decision, kept, report = reviewer.decide(file.latest), reviewer.kept_path, reviewer.report_path
    name, value = decision.option
    put(kept, b"".join(decision.kept))
    put(report, (json.dumps(decision.counts, indent=2) + "\n").encode())
    captions = zip((kept, reviewer.path), reviewer.captions, strict=True)
    return "\n".join(
        [
            "", *decision.summary,
            f"Files in {kept.parent}:",
            *(f"  {path.name:<38} {caption}" for path, caption in captions),
            f"  {report.name:<38} these counts",
            "Next:",
            "  another threshold, without asking again:",
            f"    {shlex.join(with_option(again, [f'--{name}'], f'{value:g}'))}",
        ]
    )  # fmt: skip


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
        _log.info("Going on with %s: %d of %d predictions are there.", reviewer.path.parent, before, total)
    progress = Progress(total, unit="predictions", every=reviewer.config.reporting.heartbeat_seconds)
    with started(reviewer.config, world, progress.step) as generators:
        interruption.tell(generators.engine.interrupt)
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
        return serve(reviewer.config, world, interruption)
    except UserError as error:
        raise UserError(str(error), world.rank) from error


def _answers(found: Mapping[Trial, Prediction]) -> Iterable[Prediction]:
    return (item for item in found.values() if item.reason != ERROR)


@dataclass(frozen=True)
class Question:
    """One trial of one record; `index` numbers it among all of a launch, whether they are asked or not."""

    index: int
    record: Record
    trial: int


@dataclass
class Asker:
    """Asks for what is missing. `origin` is what all predictions of the launch have in common; without `score` they are
    journalled as they are. Seeds follow from the `purpose`.

    `spending` is what answers have taken so far, with the budgets that nothing more is asked beyond. `failed` says that the
    engine broke down, `stopped` why not all was asked.
    """

    composer: PromptComposer
    engine: Engine
    file: PredictionFile
    score: Score | None
    origin: dict[str, Any]
    interrupted: Callable[[], str | None]
    purpose: str = "consistency"
    spending: Spending = field(default_factory=Spending)
    failed: bool = False
    stopped: str | None = None
    _under_way: dict[int, tuple[Question, Prompt]] = field(default_factory=dict)
    _errors: int = 0

    def run(self, questions: Sequence[Question], progress: Progress, before: int) -> None:
        """Asks all questions, or as many as it can; what was answered is journalled in any case. Progress counts from `before`,
        what earlier launches have asked.
        """
        waiting = deque(questions)
        try:
            while (waiting or self._under_way) and self.stopped is None:
                self._submit(waiting)
                if waiting and not self._under_way:
                    self.stopped = self.spending.spent()
                    break
                self._take(self.engine.poll())
                progress.reach(before + len(questions) - len(waiting) - len(self._under_way))
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
        while waiting and len(self._under_way) < UNDER_WAY and self.spending.allows(len(self._under_way)):
            question = waiting.popleft()
            prompt = self.composer.compose(question.trial, [], question.record)
            if not self.composer.fits(prompt):
                # The same for every launch, so it is an answer.
                refused.append(self._prediction(question, prompt, Completion(question.index, "", "error", 0, 0)))
                continue
            self._under_way[question.index] = question, prompt
            seed = f"{self.purpose}:{self.composer.seed}:{question.record.id}:{question.trial}"
            stop = stop_texts(self.composer.format, prompt.number)
            requests.append(Request(question.index, prompt.text, prompt.opening, stop, seed))
        if refused:
            self.file.append([replace(item, reason=TOO_LONG) for item in refused])
        self.engine.submit(requests)

    def _take(self, completions: Sequence[Completion]) -> None:
        asked = [(*self._under_way.pop(item.request), item) for item in completions]
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
                self.stopped = f"the last {ERRORS_IN_A_ROW} requests could not be answered: {item.error}"

    def _prediction(self, question: Question, prompt: Prompt, completion: Completion) -> Prediction:
        told, reason = read_last(self.composer.format, prompt.number, question.record, completion)
        answer = asdict(completion)
        del answer["request"]
        return Prediction(
            record=question.record.id, record_sha256=sha256_of_record(question.record), trial=question.trial,
            prediction=told, reason=reason, rouge_l=None, embedding=None, embedding_model=None, **self.origin,
            header_sha256=header_hash(self.composer.header), prompt_sha256=prompt.sha256,
            seed_ids=prompt.seed_ids, **answer,
        )  # fmt: skip


def stop_texts(format: RecordFormat, number: int) -> tuple[str, ...]:
    """What ends the last field of block `number`: the separator, another block, or the same one told over again."""
    again = tuple("\n" + format.open_block(at).rstrip() for at in (number, number + 1))
    return (f"\n{SEPARATOR}\n", *again)


def read_last(
    format: RecordFormat, number: int, record: Record, completion: Completion
) -> tuple[str | None, str | None]:
    """The last field of the format, as a completion tells it, or None and the reason why there is none."""
    if completion.finish_reason == "error":
        return None, ERROR
    block = format.parse(completion.text, number, completion.finish_reason == "length", record)[0]
    if block.reason:
        return None, block.reason
    told = block.fields[format.fields[-1]]
    return (told, None) if told else (None, f"empty_{format.fields[-1]}")
