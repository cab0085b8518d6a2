"""self-instruct card RUN_OR_FILE --output_path DIR [--push_to_hub OWNER/NAME]"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import declarations, taken
from self_instruct.config.parser import parse_values
from self_instruct.config.shipped import shipped
from self_instruct.datasets.options import CardOptions, HubOptions, InputOptions, ReadingOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import ConsistencyOptions, JudgeOptions
from self_instruct.runs.layout import PIPE
from self_instruct.runs.options import RunPlace

if TYPE_CHECKING:
    from self_instruct.datasets.publish import Repository

_HELP = (
    "Write the records of a run, or of any file that convert reads, as a dataset repository in DIR: README.md (the card, with "
    "the funnel and configuration of every step whose report still exists), data/train.parquet (all records) and "
    "chat/train.parquet (the same as messages for trainers). Nothing is uploaded without --push_to_hub. Exit codes: 0 done, 3 "
    "some rows could not be read, 2 user error, 1 the disk, the network or the Hub failed."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, paths = parse_values(
        argv,
        _HELP,
        (RunPlace, InputOptions, CardOptions, HubOptions, ReadingOptions),
        positional=("RUN_OR_FILE",),
        by={"RUN_OR_FILE": ["input_path", "batch_dir"]},
    )
    options = taken(CardOptions, given)
    hub = taken(HubOptions, given)
    reading = taken(ReadingOptions, given)
    if len(paths) > 1:
        raise UserError(f"RUN_OR_FILE is {' '.join(paths)}, but a card is made from one; give one of them")
    path = paths[0]
    if options.output_path is None:
        raise UserError("--output_path is missing; give card RUN_OR_FILE --output_path DIR")
    if path == PIPE:
        raise UserError("RUN_OR_FILE -: a card is made from a file and the reports beside it; give the path of a file")
    if hub.push_to_hub is None and (hub.private or options.dry_run):
        raise UserError(f"--{'private' if hub.private else 'dry_run'} needs --push_to_hub OWNER/NAME; add it")
    from self_instruct.datasets.card import Stated
    from self_instruct.datasets.history import Declared
    from self_instruct.datasets.publish import check_name, check_online, write_repository

    if hub.push_to_hub is not None:
        check_name(hub.push_to_hub)
        if not options.dry_run:
            check_online()
    folder = Path(options.output_path)
    repository = write_repository(
        Path(path),
        folder,
        Declared(
            declarations(GROUPS), declarations((*GROUPS, JudgeOptions)), declarations((*GROUPS, ConsistencyOptions))
        ),
        Stated(options.pretty_name, options.license, options.language or None, options.model_license),
        input_format=reading.input_format,
        split=reading.split,
        map=reading.sources([path])[0].map,
        repo=hub.push_to_hub,
        dry_run=options.dry_run,
    )
    print("\n".join(_summary(repository)))
    if not options.dry_run:
        print("\n".join(_written(repository)))
    code = SOME_UNREADABLE if repository.statistics.unreadable else 0
    return _push(repository, hub, options.dry_run) or code if hub.push_to_hub is not None else code


def _push(repository: "Repository", hub: HubOptions, dry_run: bool) -> int:
    from self_instruct.datasets.publish import HubFailed, Upload, push

    repo, folder = str(hub.push_to_hub), repository.folder
    if dry_run:
        print(
            f"Dry run: nothing was written or sent. Files for {'the private ' if hub.private else ''}datasets/{repo}:"
        )
        print("\n".join(_files(repository)))
        return 0
    try:
        files = {name: folder / name for name, _ in repository.files}
        print(f"Uploaded: {push(Upload(files, repo, hub.private, folder))}")
    except HubFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _files(repository: "Repository") -> list[str]:
    return [f"  {name:<24} {size:>14,} bytes" for name, size in repository.files]


def _summary(repository: "Repository") -> list[str]:
    statistics = repository.statistics
    lines = [f"{statistics.records:,} records, {statistics.chats:,} of them as messages for trainers."]
    lines += [
        f"  not as messages: {reason:<30} {number:>12,}" for reason, number in sorted(statistics.no_chat.items())
    ]
    if statistics.unreadable:
        lines.append(f"  could not be read: {statistics.unreadable:,}, the first: {'; '.join(statistics.faults)}")
    steps = "; ".join(step.what for step in repository.steps) or "none; there is no report beside the file"
    lines.append(f"Steps in the card: {steps}.")
    if repository.kept:
        lines.append(f"Kept from the earlier card: {', '.join(f'--{name}' for name in repository.kept)}.")
    missing = [f"--{name}" for name in ("license", "language") if not getattr(repository.stated, name)]
    if missing:
        lines.append(f"Missing from the card; add {', '.join(missing)}.")
    return lines


def _written(repository: "Repository") -> list[str]:
    """Return lines that list the files and suggest the next commands."""
    folder = repository.folder
    lines = [f"Files in {folder}:", *_files(repository), f"Next:\n  datasets.load_dataset({str(folder)!r})"]
    if repository.statistics.chats:
        tuning, template = (
            shlex.quote(str(shipped(f"configs/finetune/{name}"))) for name in ("lora.yaml", "chat_template.jinja")
        )
        lines.append(
            f"  trl sft --config {tuning} --model_name_or_path MODEL --dataset_name "
            f"{shlex.quote(str(folder))} --output_dir runs/adapter\n    (a base model has no chat template: "
            f"--chat_template_path {template})"
        )
    return lines
