"""Asking a model about records that are there, for one field of each: what is missing, and whether it was asked alike before.

An inquiry is self-consistency's, which asks for instructions, or the judge's, which asks for judgements. Answers are journalled
as predictions, so an inquiry goes on after a stop, and what follows from the answers can be decided anew.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.config import Config, flatten
from self_instruct.records import Record
from self_instruct.review.predictions import ERROR, Prediction, Trial, answered, fingerprint, header_hash

if TYPE_CHECKING:
    from self_instruct.engines.fleet.world import World
    from self_instruct.generation.signals import Interruption
    from self_instruct.review.asker import Scorer
    from self_instruct.review.predictions import PredictionFile

_PLACES = ("batch_dir", "input_path", "output_path")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inquiry(ABC):
    """What is asked, of which model and how. `given` are the options that this launch was given."""

    config: Config
    header: str
    given: Mapping[str, Any]

    purpose: ClassVar[str]
    deciding: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def path(self) -> Path:
        """The journal of the answers."""

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

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        from self_instruct.generation.assembly import build_origin

        return build_origin(self.config, self.format, "").model

    @property
    def deciding_options(self) -> dict[str, Any]:
        """What decides a prediction, by option name."""
        values = flatten(self.config)
        return {name: values[name] for name in self.deciding}

    @property
    def told_options(self) -> dict[str, Any]:
        """What this launch was given, as reports tell it: without the places of what is read and written."""
        return {name: value for name, value in self.given.items() if name not in _PLACES}

    def missing(self, found: Mapping[Trial, Prediction]) -> list[int]:
        """The places of the trials that have no answer yet."""
        return [at for at, trial in enumerate(self.trials) if not answered(found, trial)]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Raises `UserError` if predictions that are there were made of other records, or otherwise than is asked now.

        Where none is missing, only what was given counts, since nothing will be asked.
        """
        for item in found.values():
            if item.record in self.records and item.record_sha256 != fingerprint(self.records[item.record]):
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


def ask(
    inquiry: Inquiry,
    file: "PredictionFile",
    world: "World",
    interruption: "Interruption",
    scorer: "Callable[[], Scorer | None]",
) -> tuple[str | None, bool]:
    """Asks for the predictions that are missing; why that ended early, or None, and whether the engine failed."""
    from self_instruct.generation.assembly import build_composer, build_spending
    from self_instruct.generation.progress import Progress
    from self_instruct.generation.workers import started
    from self_instruct.review.asker import Asker, Question

    missing, total = inquiry.missing(file.latest), len(inquiry.trials)
    demonstrations, spending = inquiry.demonstrations(), build_spending(inquiry.config)
    for item in file.latest.values():
        spending.count(item.usage)
    before = total - len(missing)
    if before:
        _log.info("Going on with %s: %d of %d predictions are there.", inquiry.path.parent, before, total)
    progress = Progress(total, unit="predictions", every=inquiry.config.reporting.heartbeat_seconds)
    with started(inquiry.config, world, progress.step) as generators:
        interruption.tell(generators.engine.interrupt)
        revision = generators.reader.model_revision
        inquiry.check_model(file.latest, revision)
        composer = build_composer(inquiry.config, inquiry.format, inquiry.header, demonstrations, generators.reader)
        origin = {"model": inquiry.model, "model_revision": revision, "options": inquiry.deciding_options}
        asker = Asker(
            composer, generators.engine, file, scorer(), origin, interruption.reason, inquiry.purpose, spending
        )
        trials = inquiry.trials
        questions = [Question(at, inquiry.records[trials[at][0]], trials[at][1]) for at in missing]
        progress.begin(before)
        try:
            asker.run(questions, progress, before)
        finally:
            progress.close()
    return asker.stopped, asker.failed


def serve(inquiry: Inquiry, world: "World", interruption: "Interruption") -> int:
    """What every rank but 0 does; the exit code."""
    from self_instruct.generation.workers import serve

    try:
        return serve(inquiry.config, world, interruption)
    except UserError as error:
        raise UserError(str(error), world.rank) from error


def _answers(found: Mapping[Trial, Prediction]) -> Iterable[Prediction]:
    return (item for item in found.values() if item.reason != ERROR)
