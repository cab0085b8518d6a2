"""What a self-consistency launch asks, of which model and how; and whether that agrees with the predictions that are there.

What is not given is as it was in the run. Knows nothing of engines, and writes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.arguments import parse_values
from self_instruct.config import (
    GROUPS,
    Config,
    ConsistencyOptions,
    ModelOptions,
    ReportingOptions,
    SamplingOptions,
    assemble,
    flatten,
)
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.layout import PREDICTIONS
from self_instruct.predictions import ERROR, Prediction, Trial, answered, fingerprint, header_hash
from self_instruct.records import Record

if TYPE_CHECKING:
    from self_instruct.earlier import EarlierRun

_FOR_LISTS = ("prompt_path", "stop_words", "num_return_sequences")
# What decides a prediction beside model, header, seeds and record.
_DECIDING = (
    "seed", "num_prompt_instructions", "chat_template",
    *(name for name in SamplingOptions.__dataclass_fields__ if name not in _FOR_LISTS),
)  # fmt: skip
_REPORTING = tuple(name for name in ReportingOptions.__dataclass_fields__ if name != "report_to")
_OWN = tuple(ConsistencyOptions.__dataclass_fields__)
NAMES = (
    "batch_dir", "seed_tasks_path", "prompt_path", "embedding_model_name_or_path", *_DECIDING,
    *ModelOptions.__dataclass_fields__, *_REPORTING, *_OWN,
)  # fmt: skip
_DESCRIPTION = (
    "Keep the records of a run whose instruction a model can tell from the output. Defaults are the run's own values."
)


@dataclass(frozen=True)
class Plan:
    """A launch: the run with its records and their rows, the options settled, and those that were given."""

    run: "EarlierRun"
    dataset: Sequence[tuple[Record, dict[str, Any]]]
    config: Config
    options: ConsistencyOptions
    header: str
    given: Mapping[str, Any]

    @cached_property
    def format(self) -> RecordFormat:
        """The run's format the other way round: the output first, then the input if there is one, the instruction last."""
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

    @property
    def model(self) -> str:
        """The name of the model that is asked."""
        from self_instruct.assembly import build_origin

        return build_origin(self.config, self.format, "").model

    @property
    def deciding_options(self) -> dict[str, Any]:
        """What decides a prediction, by option name."""
        values = flatten(self.config)
        return {name: values[name] for name in _DECIDING}

    def missing(self, found: Mapping[Trial, Prediction]) -> list[int]:
        """The places of the trials that have no answer yet."""
        return [at for at, trial in enumerate(self.trials) if not answered(found, trial)]

    def embedding_model(self, found: Mapping[Trial, Prediction]) -> str:
        """The embedding model: the one given, else that of the scores that are there, else the run's."""
        stored = [item.embedding_model for item in found.values() if item.embedding_model]
        wanted = self.config.novelty.embedding_model_name_or_path
        return wanted if "embedding_model_name_or_path" in self.given or not stored else stored[-1]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Raises `UserError` if predictions that are there were made of other records, or otherwise than is asked now.

        Where none is missing, only what was given counts, since nothing will be asked.
        """
        for item in found.values():
            if item.record in self.records and item.record_sha256 != fingerprint(self.records[item.record]):
                raise UserError(
                    f"{self.run.folder / PREDICTIONS}: holds a prediction for a record {item.record} that is another one now; "
                    "the run was made anew, so move that file away to begin anew too"
                )
        asks = bool(self.missing(found))
        if asks and self.config.model.engine == "scripted" and "script_path" not in self.given:
            raise UserError(
                "the run replayed a script, which cannot tell instructions; give --model_name_or_path, or --engine scripted "
                "with --script_path"
            )
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
                f"{self.run.folder / PREDICTIONS}: holds predictions that were asked for otherwise: {'; '.join(changes)}. Give "
                "the earlier values, or move that file away to begin anew"
            )


def read_plan(argv: Sequence[str], prompt_path: Path) -> Plan:
    """The plan that a command line asks for; `prompt_path` is the header unless another is given. Raises `UserError`."""
    given, _ = parse_values(argv, _DESCRIPTION, NAMES, groups=(*GROUPS, ConsistencyOptions))
    if "batch_dir" not in given:
        raise UserError("--batch_dir is missing; give the directory of the run whose records are to be tested")
    options = ConsistencyOptions(**{name: given[name] for name in _OWN if name in given})
    if options.no_embeddings and "self_consistency_threshold" in given:
        raise UserError(
            "--self_consistency_threshold is a cosine, which --no_embeddings leaves out; give one of the two"
        )
    if options.no_embeddings and options.self_consistency_rouge_threshold is None:
        raise UserError("--no_embeddings leaves nothing to decide by; give --self_consistency_rouge_threshold too")
    from self_instruct.assembly import read_header
    from self_instruct.earlier import read_run

    run = read_run(Path(given["batch_dir"]))
    header = read_header(Path(given.get("prompt_path", prompt_path)))
    return Plan(run, run.dataset(), _settled(run.options, given), options, header, given)


def _settled(earlier: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    """The run's options with those given in their place; what belongs to the run's model does not pass to another one."""
    values = {name: value for name, value in earlier.items() if name not in _FOR_LISTS}
    if "model_name_or_path" in given or "script_path" in given:
        for name in ("model_name_or_path", "model_revision", "attn_implementation"):
            values[name] = None
        values["engine"] = "huggingface" if "model_name_or_path" in given else "scripted"
    return assemble({**values, **{name: value for name, value in given.items() if name not in _OWN}})


def _answers(found: Mapping[Trial, Prediction]) -> Iterable[Prediction]:
    return (item for item in found.values() if item.reason != ERROR)
