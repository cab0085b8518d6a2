"""Generate topics: self-instruct topics --num_topics 500 --output_path topics.txt ...

The model continues a numbered list of example topics and topics that it generated before. The list is parsed tolerantly, and
near-duplicates are dropped. This is an ordinary run, on any number of processes, in the directory NAME.run beside the output
file, so the same command continues it after a stop.
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
    "max_new_tokens", "max_length", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "constrain",
    "chat_template", "horizon", "seed", "min_yield", "patience", "max_requests", "max_tokens", "max_hours", "dry_run", "append",
    "overwrite", "yes",
)  # fmt: skip
_HELP = "Generate topics for the prompts of categories. Near-duplicates are dropped; the same command continues after a stop."
_ROUGE_THRESHOLD = 0.65
_HELP_TEXTS = {
    "max_new_tokens": DEFAULT.format("16 * topics_per_request, at least 256"),
    "rouge_threshold": DEFAULT.format(_ROUGE_THRESHOLD),
    "horizon": DEFAULT.format("num_topics / 50, between 16 and 1024"),
    "append": "continue the run in OUTPUT_PATH.run; this is the default unless --overwrite is given",
    "overwrite": "start over; OUTPUT_PATH.run is moved to a backup beside it, after confirmation on a terminal",
}


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, _ = parse_values(argv, _HELP, _GROUPS, _NAMES, help_texts=_HELP_TEXTS)
    options = taken(TopicOptions, given)
    if options.output_path is None and not given.get("dry_run"):
        raise UserError("--output_path is missing; give a text file for the topics")
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
    """Return the configuration of the run. Lists need fewer new tokens than tasks. The ROUGE threshold is below 2/3, the
    ROUGE-L F1 of a topic and half of its words, so that only one of the two is kept.
    """
    usual = {"max_new_tokens": max(256, 16 * options.topics_per_request), "rouge_threshold": _ROUGE_THRESHOLD}
    config = assemble({**usual, **given})
    folder = str(output.with_name(f"{output.name}.run"))
    return replace(config, run=replace(config.run, batch_dir=folder, num_instructions_to_generate=options.num_topics))


def _topics(config: Config) -> bytes | None:
    """Return the topics of the run so far as the content of the output file, or None if there are none yet."""
    from self_instruct.runs.layout import ACCEPTED
    from self_instruct.user_files import read_objects

    records = Path(config.run.batch_dir or "") / ACCEPTED
    if not records.is_file():
        return None
    return "".join(f"{row['instruction']}\n" for _, row in read_objects(records, "the topics", growing=True)).encode()


def _check_ours(output: Path, topics: bytes | None) -> None:
    """Raise UserError if the output file exists and was not written by this run or an interrupted launch of it."""
    from self_instruct.user_files import regular_bytes

    try:
        there = regular_bytes(output)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"--output_path {output}: cannot be read ({error.strerror}); give another path") from None
    if not (topics or b"").startswith(there):
        raise UserError(
            f"--output_path {output}: was not written by this run and would be overwritten; move it, give another path, or "
            "give --overwrite to start over and keep a backup"
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
            print(f"The old {output} is kept as {backup}.", file=sys.stderr)
        put(output, topics)
        print(f"{len(topics.splitlines()):,} topics are in {output}; use them with --topics_path {output}")
    return code
