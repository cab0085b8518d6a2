"""The configuration of a generation run: its own options, and those of the rooms that it is made of.

Model, seed file and header are compared by content, not by name, when a run goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from self_instruct.config.option import option, taken
from self_instruct.config.parser import check_values, parse_values
from self_instruct.config.presets import PRESETS
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions


@dataclass(frozen=True)
class RunOptions:
    """run"""

    preset: str | None = option(
        None, "begin from the rules of an earlier system, where no option says otherwise: "
        + "; ".join(f"{name}, {preset.summary}" for name, preset in PRESETS.items()), choices=tuple(PRESETS), common=True,
    )  # fmt: skip
    batch_dir: str | None = option(
        None, "directory of the run; an earlier run in it is continued", path="always", common=True
    )
    append: bool = option(False, "continue the run in --batch_dir, which is the default unless --overwrite is given")
    overwrite: bool = option(
        False,
        "start a new run; --batch_dir is first moved to a backup beside it, after a question on a terminal",
        common=True,
    )
    yes: bool = option(False, "answer the question of --overwrite with yes; needed where there is no terminal")
    num_instructions_to_generate: int = option(
        100, "stop at exactly this many accepted records", minimum=1, common=True
    )
    seed: int = option(42, "decides demonstrations and sampling", fixed=True, common=True)
    seed_tasks_path: str | None = option(None, "JSONL file of seed tasks", path="always", common=True)
    min_yield: float = option(
        0.01, "stop when accepted per parsed block falls below this over the last --patience requests",
        minimum=0, maximum=1,
    )  # fmt: skip
    patience: int = option(100, "number of recent requests over which --min_yield is measured", minimum=1)
    max_requests: int | None = option(None, "stop after this many requests", minimum=1)
    max_tokens: int | None = option(None, "stop when the model has written this many tokens in the run", minimum=1)
    max_hours: float | None = option(
        None, "stop after generating for this many hours in this launch", above=0, common=True
    )
    plan: bool = option(
        False, "generate for --plan_seconds, then forecast hours, GPU-hours and cost of the whole run; with --batch_dir the "
        "pilot is the run's beginning", common=True,
    )  # fmt: skip
    plan_seconds: float = option(60.0, "how long the pilot of --plan generates", above=0)
    gpu_hour_price: float | None = option(None, "price of an hour of a GPU, for --plan", above=0)
    dry_run: bool = option(
        False,
        "check options and seeds, show the first prompt and stop; no model is loaded, a word counts as a token",
        common=True,
    )


@dataclass(frozen=True)
class PromptOptions:
    """prompt"""

    prompt_path: str | None = option(
        None, "what the model reads first [default: the file beside the script]", path="always"
    )
    num_prompt_instructions: int = option(
        8, "demonstrations in a prompt, human and machine together", minimum=1, fixed=True, common=True
    )
    num_prompt_synthetic_instructions: int = option(
        2, "of these, the largest number that the model wrote", minimum=0, fixed=True
    )
    max_demonstration_depth: int = option(
        3,
        "generations after which a machine-written task is no longer shown as a demonstration",
        minimum=1,
        fixed=True,
    )
    max_tasks_per_request: int = option(
        16, "stop a completion when it begins its next task after so many", minimum=1, fixed=True
    )
    instruction_trigger: str | None = option(
        None, "trigger word of the instruction [default: Instruction]", fixed=True
    )
    input_trigger: str | None = option(None, "trigger word of the input [default: Input]", fixed=True)
    output_trigger: str | None = option(None, "trigger word of the output [default: Output]", fixed=True)
    chat_template: str = option(
        "auto", "send prompts through the tokenizer's chat template; auto: when there is one",
        choices=("auto", "always", "never"), fixed=True,
    )  # fmt: skip
    horizon: int | None = option(
        None, "request i is composed from what requests up to i - horizon gave [default: a fiftieth of "
        "--num_instructions_to_generate, 16 to 1024]", minimum=1, fixed=True,
    )  # fmt: skip


@dataclass(frozen=True)
class CategoryOptions:
    """categories"""

    categories: str | None = option(
        None, "kinds of tasks with their shares, as general:50,coding:30,contextual:20, in place of seed tasks; each is a file "
        "in --categories_path or one of those that come with the project", fixed=True, common=True,
    )  # fmt: skip
    categories_path: str | None = option(
        None, "directory of your own category files, NAME.yaml; they go before those that come with the project",
        path="always",
    )  # fmt: skip
    topics_path: str | None = option(
        None, "text file with a topic a line, for the prompts of categories [default: the list that comes with the project]",
        path="always", common=True,
    )  # fmt: skip
    samples_per_request: int | None = option(
        None, "tasks that a request of a category asks for [default: what its file says]", minimum=1, fixed=True
    )


@dataclass(frozen=True)
class TopicOptions:
    """topics (not part of a generation run)"""

    num_topics: int = option(500, "stop at exactly this many topics", minimum=1, common=True)
    output_path: str | None = option(
        None, "text file of the topics, one a line; beside it NAME.run keeps what the model wrote, so that the same command "
        "goes on", path="always", alias="output", common=True,
    )  # fmt: skip
    topic_avoidance: str | None = option(
        None,
        "subjects to leave out, separated by commas: the prompt names them, and topics that contain them are dropped",
        common=True,
    )
    topics_per_request: int = option(20, "topics that a request asks for", minimum=1, common=True)


@dataclass(frozen=True)
class ReportingOptions:
    """observing"""

    log_level: str = option(
        "info", "what is shown on the error stream; logs/ in --batch_dir has it too, and never less than info",
        choices=("debug", "info", "warning", "error"),
    )  # fmt: skip
    heartbeat_seconds: float = option(60.0, "seconds between progress lines, where there is no progress bar", above=0)
    report_to: str = option(
        "none", "a tracker that is given the figures of the run, through accelerate; tensorboard: files in --batch_dir; "
        "wandb: as its own environment variables say", choices=("tensorboard", "wandb", "none"),
    )  # fmt: skip


@dataclass(frozen=True, init=False)
class Config:
    """All options of a run, in the groups that declare them.

    `Config(model_name_or_path="...", seed_tasks_path="seeds/code.jsonl", temperature=0.7)` takes options by the names of the
    command line; `Config(preset="alpaca")` begins from a preset. Whole groups may be given by their names here, as
    `dataclasses.replace` does. Raises UserError for an unknown option, with the nearest name, and for a value that it cannot
    have.
    """

    run: RunOptions
    prompt: PromptOptions
    model: ModelOptions
    sampling: SamplingOptions
    filter: FilterOptions
    novelty: NoveltyOptions
    category: CategoryOptions
    endpoint: EndpointOptions
    reporting: ReportingOptions

    def __init__(self, **options: Any) -> None:
        parts = {item.name: options.pop(item.name) for item in fields(self) if item.name in options}
        values = check_values(options, GROUPS) if options else {}
        for item, group in zip(fields(self), GROUPS, strict=True):
            object.__setattr__(self, item.name, parts.get(item.name) or taken(group, values))


PROMPTS = {
    INSTRUCTION_OUTPUT.name: "instruction_io/prompt.txt",
    INSTRUCTION_INPUT_OUTPUT.name: "instruction_iio/prompt.txt",
}
"""The header of each format that comes with the project, by the name of its file in a clone."""

GROUPS: tuple[type, ...] = (
    RunOptions, PromptOptions, ModelOptions, SamplingOptions, FilterOptions, NoveltyOptions, CategoryOptions,
    EndpointOptions, ReportingOptions,
)  # fmt: skip


REFILTER_OPTIONS = (
    *FilterOptions.__dataclass_fields__, *NoveltyOptions.__dataclass_fields__, "preset", "categories_path", "topics_path",
    "num_instructions_to_generate", "seed_tasks_path", "instruction_trigger", "input_trigger", "output_trigger",
)  # fmt: skip
"""The options that may be others than the run's when its completions are decided on again."""


def flatten(config: Config) -> dict[str, Any]:
    """Return all values by option name."""
    return {name: getattr(group, name) for part in fields(config)
            for group in [getattr(config, part.name)] for name in (f.name for f in fields(group))}  # fmt: skip


def assemble(values: Mapping[str, Any]) -> Config:
    """Build a configuration from values by option name; missing options take their defaults."""
    return Config(**{item.name: taken(group, values) for item, group in zip(fields(Config), GROUPS, strict=True)})


def parse_arguments(argv: Sequence[str], description: str, names: Sequence[str] | None = None) -> Config:
    """Parse a command line into a configuration.

    `names` limits which options exist. Raises `UserError` naming the option, the value and what is expected.
    """
    values, _ = parse_values(argv, description, GROUPS, names)
    return assemble(values)
