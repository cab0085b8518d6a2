"""--overwrite: a run begins anew, and what its directory held is kept beside it under another name.

Nothing is deleted. On a terminal the user is asked, elsewhere --yes has to say so. A launcher that starts the same command
again after a failure means to go on, so it is then not begun anew.
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
    """Whether the run begins anew, as --overwrite asks; then rank 0 has moved what was in its directory out of the way.

    `ask` puts a question to the user; None where there is no terminal. Raises `UserError` if that was not agreed to, if another
    launch is writing there, or if it cannot be moved.
    """
    if append and overwrite:
        raise UserError(
            "--append and --overwrite are given; one goes on with the run, the other begins anew: keep one"
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
        _log.info("What %s held is kept in %s.", folder, backup)
    return True


def backup_of(path: Path) -> Path:
    """A name beside a file or directory that is free."""
    places = (path.with_name(f"{path.name}.backup-{number}") for number in count(1))
    return next(place for place in places if not place.exists())


def _holdings(folder: Path) -> list[Path]:
    """What a directory holds, beside the logs that another rank of this launch may have begun."""
    return [path for path in folder.iterdir() if path.name != LOGS] if folder.is_dir() else []


def _agree(folder: Path, yes: bool, ask: Callable[[str], bool] | None) -> None:
    if yes:
        return
    if ask is None:
        raise UserError(
            f"--overwrite: {folder} is not empty, and there is no terminal to ask; add --yes to begin anew (what is there is "
            "kept beside it), or leave --overwrite out to go on"
        )
    if not ask(f"{folder} holds {len(_holdings(folder))} files. Begin anew, and keep them beside it? [y/N] "):
        raise UserError("--overwrite: nothing was changed; leave it out to go on with the run that is there")


def _check_unused(folder: Path) -> None:
    """Raises `UserError` if a launch is writing the journal that is there."""
    if (folder / JOURNAL).is_file():
        Lock(folder / f"{JOURNAL}.lock").release()
