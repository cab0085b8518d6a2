"""--overwrite: move the old run directory to a backup beside it, so that the run starts over.

Nothing is deleted. On a terminal the user is asked; elsewhere --yes is required. When a launcher restarts the same command
after a failure, --overwrite is ignored, so that the run continues.
"""

import logging
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

from self_instruct.errors import UserError
from self_instruct.runs.layout import JOURNAL, LOGS
from self_instruct.runs.lock import Lock

_log = logging.getLogger(__name__)
_RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


def set_aside(
    folder: Path, *, overwrite: bool, append: bool, yes: bool, is_main: bool, ask: Callable[[str], bool] | None
) -> bool:
    """Return whether the run starts over because of --overwrite; rank 0 moves the old directory to a backup.

    `ask` asks the user; it is None without a terminal. Raises UserError if the user does not confirm, if another launch is
    writing there, or if the directory cannot be moved.
    """
    if append and overwrite:
        raise UserError(
            "--append and --overwrite are both given; --append continues the run and --overwrite starts over: give one of them"
        )
    if not overwrite or any(os.environ.get(name, "0") not in ("", "0") for name in _RESTARTS):
        return False
    if is_main and _holdings(folder):
        _agree(folder, yes, ask)
        _check_unused(folder)
        backup = backup_of(folder)
        try:
            folder.rename(backup)
        except OSError as error:
            raise UserError(f"--overwrite: {folder} cannot be moved to {backup} ({error.strerror})") from None
        _log.info("The old %s is kept as %s.", folder, backup)
    return True


def backup_of(path: Path) -> Path:
    """Return the first unused backup name beside a file or directory."""
    backups = (path.with_name(f"{path.name}.backup-{number}") for number in count(1))
    return next(backup for backup in backups if not backup.exists())


def _holdings(folder: Path) -> list[Path]:
    """Return the files of a directory except the logs, which another rank of this launch may already be writing."""
    return [path for path in folder.iterdir() if path.name != LOGS] if folder.is_dir() else []


def _agree(folder: Path, yes: bool, ask: Callable[[str], bool] | None) -> None:
    if yes:
        return
    if ask is None:
        raise UserError(
            f"--overwrite: {folder} is not empty, and there is no terminal to ask; add --yes to start over (the old run is "
            "kept as a backup), or leave --overwrite out to continue the run"
        )
    if not ask(f"{folder} holds {len(_holdings(folder))} files. Move them to a backup and start over? [y/N] "):
        raise UserError("--overwrite: nothing was changed; leave it out to continue the existing run")


def _check_unused(folder: Path) -> None:
    """Raise UserError if a launch is writing the journal."""
    if (folder / JOURNAL).is_file():
        Lock(folder / f"{JOURNAL}.lock").release()
