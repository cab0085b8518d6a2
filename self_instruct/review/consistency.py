"""What a self-consistency launch asks, of which model and how; and whether that agrees with the predictions that are there.

What is not given is as it was in the run. Knows nothing of engines, and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.config import GROUPS, Config, ReportingOptions, assemble
from self_instruct.records import Record
from self_instruct.review.inquiry import Inquiry
from self_instruct.review.options import ConsistencyOptions
from self_instruct.review.predictions import Prediction, Trial
from self_instruct.runs.layout import PREDICTIONS

if TYPE_CHECKING:
    from self_instruct.generation.earlier_run import EarlierRun

_FOR_LISTS = ("prompt_path", "stop_words", "num_return_sequences")
# What decides a prediction beside model, header, seeds and record.
_DECIDING = (
    "seed", "num_prompt_instructions", "chat_template", "api_extra_body", "presence_penalty", "frequency_penalty",
    *(name for name in SamplingOptions.__dataclass_fields__ if name not in _FOR_LISTS),
)  # fmt: skip
_BUDGETS = ("max_usage_tokens", "max_cost")
_REPORTING = tuple(name for name in ReportingOptions.__dataclass_fields__ if name != "report_to")
_OWN = tuple(ConsistencyOptions.__dataclass_fields__)
NAMES = (
    "batch_dir", "seed_tasks_path", "prompt_path", "embedding_model_name_or_path", *_DECIDING,
    *ModelOptions.__dataclass_fields__, *EndpointOptions.__dataclass_fields__, *_REPORTING, *_OWN,
)  # fmt: skip
# Code of a model is run by whoever asks for it, not because a run's files say so; and what the run might cost is spent.
_NOT_OF_THE_RUN = (*_FOR_LISTS, *_BUDGETS, "trust_remote_code")
_TOLD = {
    **{name: DEFAULT.format("the run's") for name in NAMES if name not in (*_NOT_OF_THE_RUN, *_OWN)},
    "batch_dir": "directory of the run whose records are asked about",
}
_DESCRIPTION = (
    "Keep the records of a run whose instruction a model can tell from the output. Defaults are the run's own values."
)


@dataclass(frozen=True)
class Plan(Inquiry):
    """A launch: the run with its records and their rows, and the options settled."""

    run: "EarlierRun"
    dataset: Sequence[tuple[Record, dict[str, Any]]]
    options: ConsistencyOptions

    purpose = "consistency"
    deciding = _DECIDING

    @property
    def path(self) -> Path:
        """The run's predictions."""
        return self.run.folder / PREDICTIONS

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

    def demonstrations(self) -> list[Record]:
        """The seed tasks of the run."""
        return self.run.recipe(self.config, given=()).seeds

    def embedding_model(self, found: Mapping[Trial, Prediction]) -> str:
        """The embedding model: the one given, else that of the scores that are there, else the run's."""
        stored = [item.embedding_model for item in found.values() if item.embedding_model]
        wanted = self.config.novelty.embedding_model_name_or_path
        return wanted if "embedding_model_name_or_path" in self.given or not stored else stored[-1]

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """As that of any inquiry; and the model of a run that replayed a script has to be told."""
        if self.missing(found) and self.config.model.engine == "scripted" and "script_path" not in self.given:
            raise UserError(
                "the run replayed a script, which cannot tell instructions; give --model_name_or_path, or --engine scripted "
                "with --script_path"
            )
        super().check(found)


def read_plan(argv: Sequence[str], prompt_path: Path) -> Plan:
    """The plan that a command line asks for; `prompt_path` is the header unless another is given. Raises `UserError`."""
    given, _ = parse_values(
        argv, _DESCRIPTION, (*GROUPS, ConsistencyOptions), NAMES, ("[RUN_DIR]",), _TOLD, {"[RUN_DIR]": ["batch_dir"]}
    )
    if "batch_dir" not in given:
        raise UserError("--batch_dir is missing; give the directory of the run whose records are to be tested")
    options = ConsistencyOptions(**{name: given[name] for name in _OWN if name in given})
    if options.no_embeddings and "self_consistency_threshold" in given:
        raise UserError(
            "--self_consistency_threshold is a cosine, which --no_embeddings leaves out; give one of the two"
        )
    if options.no_embeddings and options.self_consistency_rouge_threshold is None:
        raise UserError("--no_embeddings leaves nothing to decide by; give --self_consistency_rouge_threshold too")
    from self_instruct.generation.assembly import read_header
    from self_instruct.generation.earlier_run import read_run

    run = read_run(Path(given["batch_dir"]))
    header = read_header(Path(given.get("prompt_path", prompt_path)))
    return Plan(_settled(run.options, given), header, given, run, run.dataset(), options)


def _settled(earlier: Mapping[str, Any], given: Mapping[str, Any]) -> Config:
    """The run's options with those given in their place; what belongs to the run's model does not pass to another one."""
    values = {name: value for name, value in earlier.items() if name not in _NOT_OF_THE_RUN}
    if "model_name_or_path" in given or "script_path" in given:
        for name in ("model_name_or_path", "model_revision", "attn_implementation"):
            values[name] = None
        values["engine"] = "huggingface" if "model_name_or_path" in given else "scripted"
    return assemble({**values, **{name: value for name, value in given.items() if name not in _OWN}})
