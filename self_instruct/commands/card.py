"""python -m self_instruct.datasets card RUN_OR_FILE --output_path DIR [--push_to_hub OWNER/NAME]"""

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import declarations, taken
from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import CardOptions, HubOptions, InputOptions, ReadingOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS
from self_instruct.review.options import ConsistencyOptions, JudgeOptions
from self_instruct.runs.layout import PIPE, records_of
from self_instruct.runs.options import RunPlace

if TYPE_CHECKING:
    from self_instruct.datasets.repository import Figures
    from self_instruct.datasets.steps import Step

_HELP = (
    "Lay out a run's records, or any file that convert reads, as a dataset repository in DIR: README.md, the card, with the "
    "funnel and configuration of all steps whose reports are still there; data/train.parquet, all records; chat/train.parquet, "
    "the same as messages for trainers. Nothing is sent anywhere without --push_to_hub. Exit codes: 0 done, 3 some rows could "
    "not be read, 2 a mistake, 1 the disk, the network or the Hub failed."
)
AFTER_FAILURE = "the output is as it was; the same command begins anew"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
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
        raise UserError(f"RUN_OR_FILE is {' '.join(paths)}; give one of them")
    path = paths[0]
    if options.output_path is None:
        raise UserError("--output_path is missing; give card RUN_OR_FILE --output_path DIR")
    if path == PIPE:
        raise UserError("RUN_OR_FILE -: a card tells of the reports beside a file; give its path")
    if hub.push_to_hub is None and (hub.private or hub.dry_run):
        raise UserError(f"--{'private' if hub.private else 'dry_run'} goes with --push_to_hub OWNER/NAME; add it")
    from self_instruct.datasets.card import Stated, card
    from self_instruct.datasets.history import Declared, history
    from self_instruct.datasets.reading import Source
    from self_instruct.datasets.repository import CARD, check_folder, lay_out
    from self_instruct.runs.files import put

    folder, source = Path(options.output_path), records_of(Path(path))
    check_folder(folder, [source])
    if hub.push_to_hub is not None:
        from self_instruct.datasets.hub import check_name, check_online

        check_name(hub.push_to_hub)
        if not hub.dry_run:
            check_online()
    declared = Declared(
        declarations(GROUPS), declarations((*GROUPS, JudgeOptions)), declarations((*GROUPS, ConsistencyOptions))
    )
    steps = history(Path(path), declared)
    figures = lay_out(Source(str(source), format=reading.input_format, split=reading.split), folder, "RUN_OR_FILE")
    stated = Stated(options.pretty_name or folder.name, options.license, options.language)
    licenses = _licenses(options.model_license, figures, steps)
    text = card(figures, steps, licenses, stated, hub.push_to_hub or folder.name)
    put(folder / CARD, text.encode("utf-8", "backslashreplace"))
    print(_told(figures, steps, folder, options))
    code = SOME_UNREADABLE if figures.unreadable else 0
    return _publish(folder, hub) or code if hub.push_to_hub is not None else code


def _licenses(stated: str | None, figures: "Figures", steps: Sequence["Step"]) -> dict[str, str]:
    """Licences of the models, as far as they are known: what the user says, or what a model's folder says of itself."""
    names = {name for name, _ in figures.models} | {step.model for step in steps if step.model}
    if stated is not None:
        return dict.fromkeys(names, stated)
    from self_instruct.datasets.model_license import license_of

    return {step.model: license_of(step.model_place) for step in steps if step.model_place is not None}


def _publish(folder: Path, hub: HubOptions) -> int:
    from self_instruct.datasets.hub import HubFailed, push
    from self_instruct.datasets.repository import contents

    files, repo = contents(folder), str(hub.push_to_hub)
    if hub.dry_run:
        print(f"Nothing was sent. To {'the private ' if hub.private else ''}datasets/{repo} would go:")
        print("\n".join(f"  {name:<24} {size:>14,} bytes" for name, size in files))
        return 0
    try:
        place = push(folder, [name for name, _ in files], repo, hub.private)
    except HubFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Sent: {place}")
    return 0


def _told(figures: "Figures", steps: Sequence["Step"], folder: Path, options: CardOptions) -> str:
    """What a person reads at the end."""
    from self_instruct.datasets.repository import contents

    lines = [f"{figures.records:,} records, {figures.chats:,} of them as messages for trainers."]
    lines += [f"  not as messages: {reason:<30} {number:>12,}" for reason, number in sorted(figures.no_chat.items())]
    if figures.unreadable:
        lines.append(f"  could not be read: {figures.unreadable:,}, the first: {'; '.join(figures.faults)}")
    lines.append(
        f"Steps told: {_listed(step.what for step in steps) or 'none; no report of ours lies beside the file'}."
    )
    missing = [f"--{name}" for name in ("license", "language") if not getattr(options, name)]
    if missing:
        lines.append(f"Not stated in the card, since only you know: {', '.join(missing)}.")
    lines.append(f"Files in {folder}:")
    lines += [f"  {name:<24} {size:>14,} bytes" for name, size in contents(folder)]
    lines.append(f"Next:\n  datasets.load_dataset({str(folder)!r})")
    if figures.chats:
        lines.append(
            "  trl sft --config configs/finetune/lora.yaml --model_name_or_path MODEL --dataset_name "
            f"{shlex.quote(str(folder))} --output_dir runs/adapter\n    (a base model has no chat template: "
            "--chat_template_path configs/finetune/chat_template.jinja)"
        )
    return "\n".join(lines)


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(texts)
