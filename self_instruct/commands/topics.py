"""Topics that a model thinks of: python -m self_instruct.topics --num_topics 500 --output_path topics.txt ...

The model goes on with a numbered list, of which it is shown some examples and some topics of its own; what it writes is read
tolerantly, and what is too near to an earlier topic is dropped. It is a run as any other, on any number of processes, in a
directory beside the file, so that the same command goes on after a stop.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.commands.generate import dry_run, generate
from self_instruct.config.option import taken
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.engines.options import EndpointOptions, ModelOptions, SamplingOptions
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.config import Config, PromptOptions, ReportingOptions, RunOptions, TopicOptions, assemble
from self_instruct.novelty.options import NoveltyOptions

if TYPE_CHECKING:
    from self_instruct.generation.topics import TopicRecipe

_GROUPS = (
    TopicOptions, RunOptions, PromptOptions, ModelOptions, SamplingOptions, EndpointOptions, NoveltyOptions,
    ReportingOptions,
)  # fmt: skip
_NAMES = (
    *TopicOptions.__dataclass_fields__, *ModelOptions.__dataclass_fields__, *NoveltyOptions.__dataclass_fields__,
    *EndpointOptions.__dataclass_fields__, *ReportingOptions.__dataclass_fields__,
    "max_new_tokens", "max_length", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "chat_template",
    "horizon", "seed", "min_yield", "patience", "max_requests", "max_tokens", "max_hours", "dry_run", "append", "overwrite",
    "yes",
)  # fmt: skip
_HELP = (
    "Have a model list topics, for the prompts of categories. Near-duplicates are dropped; the same command goes on."
)
_ROUGE_THRESHOLD = 0.65
_TOLD = {
    "max_new_tokens": DEFAULT.format("16 for each of --topics_per_request, at least 256"),
    "rouge_threshold": DEFAULT.format(_ROUGE_THRESHOLD),
    "horizon": DEFAULT.format("a fiftieth of --num_topics, 16 to 1024"),
    "append": "go on with the topics that are in OUTPUT_PATH.run, as is done in any case unless --overwrite is given",
    "overwrite": "begin anew; what OUTPUT_PATH.run holds is kept beside it under another name, after a question on a terminal",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    given, _ = parse_values(argv, _HELP, _GROUPS, _NAMES, told=_TOLD)
    options = taken(TopicOptions, given)
    if options.output_path is None and not given.get("dry_run"):
        raise UserError("--output_path is missing; give the text file that the topics are to be written to")
    from self_instruct.generation.topics import TopicRecipe

    output = Path(options.output_path or "topics.txt")
    config = _config(given, options, output)
    recipe = TopicRecipe(config, INSTRUCTION_OUTPUT, options.topics_per_request, options.topic_avoidance or "")
    if config.run.dry_run:
        return dry_run(recipe)
    if output.is_dir():
        raise UserError(f"--output_path {output}: is a directory; give a text file")
    if not config.run.overwrite:
        _check_ours(output, _topics(config))
    return _generate(recipe, output)


def _config(given: Mapping[str, Any], options: TopicOptions, output: Path) -> Config:
    """A run's configuration of the options given. Lists need less room than tasks do; and of two topics one of which is half of
    the other, which have an F1 of 2/3, one is enough.
    """
    usual = {"max_new_tokens": max(256, 16 * options.topics_per_request), "rouge_threshold": _ROUGE_THRESHOLD}
    config = assemble({**usual, **given})
    folder = str(output.with_name(f"{output.name}.run"))
    return replace(config, run=replace(config.run, batch_dir=folder, num_instructions_to_generate=options.num_topics))


def _topics(config: Config) -> bytes | None:
    """The file of what the run has by now, if there is one."""
    from self_instruct.runs.layout import ACCEPTED
    from self_instruct.user_files import read_objects

    records = Path(config.run.batch_dir or "") / ACCEPTED
    if not records.is_file():
        return None
    return "".join(f"{row['instruction']}\n" for _, row in read_objects(records, "the topics")).encode("utf-8")


def _check_ours(output: Path, topics: bytes | None) -> None:
    """Raises `UserError` if the output is there and is not what the run has written, or a launch of it that ended early."""
    try:
        there = output.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"--output_path {output}: cannot be read ({error.strerror}); give another path") from None
    if not (topics or b"").startswith(there):
        raise UserError(
            f"--output_path {output}: holds what this run has not written, and would be replaced; move it, give another path, "
            "or --overwrite to begin anew and keep it beside the new one"
        )


def _generate(recipe: "TopicRecipe", output: Path) -> int:
    from self_instruct.engines.fleet.world import current_world
    from self_instruct.runs.backup import backup_of
    from self_instruct.runs.files import put

    code = generate(recipe)
    topics = _topics(recipe.config) if current_world().is_main else None
    if topics is not None:
        if recipe.config.run.overwrite and output.exists() and output.read_bytes() != topics:
            backup = backup_of(output)
            output.rename(backup)
            print(f"What {output} held is kept in {backup}.", file=sys.stderr)
        put(output, topics)
        print(f"{len(topics.splitlines()):,} topics are in {output}; use them by --topics_path {output}")
    return code
