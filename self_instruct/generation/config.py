"""The configuration of a generation run: its own options and those of engines, rules and novelty.

When a run continues, its model, seed file and header are compared by content, not by name.
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
from self_instruct.rules.options import RunFilterOptions, VerifyOptions


@dataclass(frozen=True)
class RunOptions:
    """run"""

    preset: str | None = option(
        None, "start from the settings of an earlier system; other options override them: "
        + "; ".join(f"{name}, {preset.summary}" for name, preset in PRESETS.items()), choices=tuple(PRESETS), common=True,
    )  # fmt: skip
    batch_dir: str | None = option(
        None, "directory of the run; an existing run in it is continued", path="always", common=True
    )
    append: bool = option(False, "continue the run in --batch_dir; this is the default unless --overwrite is given")
    overwrite: bool = option(
        False,
        "start over; the old contents of --batch_dir are moved to a backup beside it, after confirmation "
        "on a terminal",
        common=True,
    )
    yes: bool = option(False, "confirm --overwrite without asking; required where there is no terminal")
    num_instructions_to_generate: int = option(
        100, "stop at exactly this number of accepted records", minimum=1, common=True
    )
    seed: int = option(42, "random seed for demonstrations and sampling", fixed=True, common=True)
    seed_tasks_path: str | None = option(None, "JSONL file of seed tasks", path="always", common=True)
    min_yield: float = option(
        0.01,
        "stop when the yield (accepted records per parsed block) over the last --patience requests falls below this",
        minimum=0,
        maximum=1,
    )
    patience: int = option(
        100, "number of recent requests used to measure --min_yield and --stop_diversity", minimum=1
    )
    stop_diversity: float | None = option(
        None,
        "stop when the accepted records of the last --patience requests only repeat their neighbours: when their mean novelty "
        "is below this. Novelty is 1 - the similarity with the nearest seed or earlier record, by embedding where "
        "--embedding_threshold compares them, else by ROUGE-L [default: off]",
        above=0,
        maximum=1,
    )
    max_requests: int | None = option(None, "stop after this number of requests [default: no limit]", minimum=1)
    max_tokens: int | None = option(
        None,
        "stop after this number of generated tokens in the whole run; for the length of one completion "
        "see --max_new_tokens [default: no limit]",
        minimum=1,
    )
    max_hours: float | None = option(
        None,
        "stop after this number of hours in this launch [default: no limit]",
        above=0,
        maximum=100_000,  # the system's timers overflow after 292 years
        common=True,
    )
    keep_reasoning: bool = option(
        False,
        "write the model's thought before an output into the dataset, as reasoning_content; the journal holds it in any case",
    )
    plan: bool = option(
        False,
        "generate for --plan_seconds, search for the best --request_batch_size meanwhile, then estimate hours, GPU-hours and "
        "cost of the whole run; with --batch_dir the pilot is the start of the run",
        common=True,
    )
    plan_seconds: float = option(60.0, "seconds to generate for --plan", above=0)
    gpu_hour_price: float | None = option(
        None, "price of one GPU-hour, for --plan [default: no cost is shown]", above=0
    )
    dry_run: bool = option(
        False,
        "check options and seeds, print the first prompt and stop; loads no model, and counts a word as a token",
        common=True,
    )


@dataclass(frozen=True)
class PromptOptions:
    """prompt"""

    recipe: str = option(
        "auto",
        "how the model is asked; few_shot: the model continues a list of whole records; chat: a message asks for new tasks, "
        "and each is then sent alone; magpie: the model writes the user's message, which is then sent alone; auto: chat if "
        "the model has a chat template and no trigger word is given, else few_shot. --categories takes few_shot and chat only",
        choices=("auto", "few_shot", "chat", "magpie"),
        fixed=True,
        common=True,
    )
    system_prompt: str | None = option(
        None, "system message of the requests for tasks [default: the chat template's own, if it has one]", fixed=True
    )
    answer_system_prompt: str | None = option(
        None,
        "system message of the requests for answers [default: the chat template's own, if it has one]",
        fixed=True,
    )
    answer_orphans: str = option(
        "auto",
        "with --recipe few_shot, send a task alone if its output is missing or cut off (with --categories also if it is "
        "invalid), and take the reply as its output; auto: if the model has a chat template",
        choices=("auto", "always", "never"),
        fixed=True,
    )
    num_answers: int = option(
        1,
        "answers to draw for each task that is sent alone; the answer that most of them agree with is the output, and "
        "`self-instruct best-of-n` chooses by a reward model or by tests",
        minimum=1,
        maximum=64,
        fixed=True,
    )
    magpie_opening: str | None = option(
        None, "with --recipe magpie, the text with which the user's message begins, such as 'Write a Python function'",
        fixed=True,
    )  # fmt: skip
    prompt_path: str | None = option(
        None,
        "text file of the prompt's header; with --recipe chat it is the message, where {examples} and {count} are replaced "
        "[default: the file beside the script]",
        path="always",
    )
    num_prompt_instructions: int = option(
        8, "demonstrations in a prompt, seeds and generated records together", minimum=1, fixed=True, common=True
    )
    num_prompt_synthetic_instructions: int = option(
        2, "maximum number of generated records among the demonstrations", minimum=0, fixed=True
    )
    steer: bool = option(
        False,
        "of several tasks drawn as a demonstration, show the one whose first two words are rarest among the records",
        fixed=True,
    )
    max_demonstration_depth: int = option(
        3,
        "maximum depth of a demonstration; seeds have depth 0, and a generated record has one more than the "
        "deepest demonstration of its prompt",
        minimum=1,
        fixed=True,
    )
    max_tasks_per_request: int = option(16, "end a completion after this number of tasks", minimum=1, fixed=True)
    instruction_trigger: str | None = option(
        None, "trigger word before the instruction [default: Instruction]", fixed=True
    )
    input_trigger: str | None = option(None, "trigger word before the input [default: Input]", fixed=True)
    output_trigger: str | None = option(None, "trigger word before the output [default: Output]", fixed=True)
    chat_template: str = option(
        "auto",
        "send prompts through the tokenizer's chat template; auto: if it has one",
        choices=("auto", "always", "never"),
        fixed=True,
    )
    chat_template_kwargs: str | None = option(
        "auto",
        "JSON object of variables for the chat template, which a server gets as chat_template_kwargs, such as "
        "'{\"enable_thinking\": true}'; auto: turn thinking off if the template can",
        fixed=True,
    )
    horizon: int | None = option(
        None,
        "compose request i from the results of the requests up to i - horizon [default: "
        "num_instructions_to_generate / 50, or / 10 with --verify and --recipe chat and magpie, between 16 and 1024; with "
        "these at most max_requests divided by the steps to a record]",
        minimum=1,
        maximum=100_000,
        fixed=True,
    )


@dataclass(frozen=True)
class CategoryOptions:
    """categories"""

    categories: str | None = option(
        None,
        "task categories and their shares, such as general:50,coding:30,contextual:20, used in place of "
        "seed tasks; each is a file in --categories_path or a built-in category",
        fixed=True,
        common=True,
    )
    categories_path: str | None = option(
        None,
        "directory of your own category files, NAME.yaml; they take precedence over the built-in ones",
        path="always",
    )
    topics_path: str | None = option(
        None,
        "text file with one topic per line, for the prompts of categories [default: the built-in list]",
        path="always",
    )
    samples_per_request: int | None = option(
        None,
        "tasks to ask for in each request of a category or of --recipe chat [default: set by the category's file; 5 with "
        "--recipe chat]",
        minimum=1,
        fixed=True,
    )


@dataclass(frozen=True)
class TopicOptions:
    """topics"""

    num_topics: int = option(500, "stop at exactly this number of topics", minimum=1, common=True)
    output_path: str | None = option(
        None,
        "text file of topics, one per line; the run directory NAME.run beside it lets the same command continue",
        path="always",
        alias="output",
        common=True,
    )
    topic_avoidance: str | None = option(
        None,
        "comma-separated subjects to avoid; the prompt lists them, and topics that mention one are dropped",
        common=True,
    )
    topics_per_request: int = option(20, "topics to ask for in each request", minimum=1, common=True)


@dataclass(frozen=True)
class ReportingOptions:
    """logging and tracking"""

    log_level: str = option(
        "info",
        "lowest level of messages on standard error; log files in logs/ of --batch_dir have info and "
        "above in any case",
        choices=("debug", "info", "warning", "error"),
    )
    heartbeat_seconds: float = option(60.0, "seconds between progress lines where no progress bar is shown", above=0)
    report_to: str = option(
        "none",
        "experiment tracker, through accelerate; tensorboard writes to --batch_dir, wandb is set up by "
        "its environment variables",
        choices=("tensorboard", "wandb", "none"),
    )


@dataclass(frozen=True, init=False)
class Config:
    """All options of a run, in the groups that declare them.

    `Config(model_name_or_path="...", seed_tasks_path="seeds/code.jsonl", temperature=0.7)` takes options by the names of the
    command line; `Config(preset="alpaca")` starts from a preset. A field below takes a whole group of options, so that
    `dataclasses.replace` works. Raises UserError for an unknown option, with the nearest known name, and for an invalid value.
    """

    run: RunOptions
    prompt: PromptOptions
    model: ModelOptions
    sampling: SamplingOptions
    filter: RunFilterOptions
    novelty: NoveltyOptions
    category: CategoryOptions
    endpoint: EndpointOptions
    reporting: ReportingOptions
    verification: VerifyOptions

    def __init__(self, **options: Any) -> None:
        parts = {item.name: options.pop(item.name) for item in fields(self) if item.name in options}
        values = check_values(options, GROUPS) if options else {}
        for item, group in zip(fields(self), GROUPS, strict=True):
            object.__setattr__(self, item.name, parts.get(item.name) or taken(group, values))


PROMPTS = {
    INSTRUCTION_OUTPUT.name: "instruction_io/prompt.txt",
    INSTRUCTION_INPUT_OUTPUT.name: "instruction_iio/prompt.txt",
}
"""The file of each format's header, by its path in the project."""

GROUPS: tuple[type, ...] = (
    RunOptions, PromptOptions, ModelOptions, SamplingOptions, RunFilterOptions, NoveltyOptions, CategoryOptions,
    EndpointOptions, ReportingOptions, VerifyOptions,
)  # fmt: skip


REFILTER_OPTIONS = (
    *RunFilterOptions.__dataclass_fields__, *NoveltyOptions.__dataclass_fields__, "preset", "categories_path", "topics_path",
    "num_instructions_to_generate", "seed_tasks_path", "instruction_trigger", "input_trigger", "output_trigger",
    "keep_reasoning", "mutation_score_threshold",
)  # fmt: skip
"""The options of `refilter`, which may differ from those of the run."""


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
