"""--overwrite: a run begins anew, and what its directory held is kept beside it under another name.

Nothing is deleted. On a terminal the user is asked, elsewhere --yes has to say so. A launcher that starts the same command
again after a failure means to go on, so it is then not begun anew.
"""

import os
import sys
from itertools import count
from pathlib import Path

from self_instruct.config import RunOptions
from self_instruct.errors import UserError
from self_instruct.layout import JOURNAL, LOGS
from self_instruct.locks import Lock

_RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


def set_aside(run: RunOptions, folder: Path, is_main: bool) -> bool:
    """Whether the run begins anew, as --overwrite asks; then rank 0 has moved what was in its directory out of the way.

    Raises `UserError` if that was not agreed to, if another launch is writing there, or if it cannot be moved.
    """
    if run.append and run.overwrite:
        raise UserError(
            "--append and --overwrite are given; one goes on with the run, the other begins anew: keep one"
        )
    if not run.overwrite or any(os.environ.get(name, "0") not in ("", "0") for name in _RESTARTS):
        return False
    if is_main and _holdings(folder):
        _agree(folder, run.yes)
        _check_unused(folder)
        backup = backup_of(folder)
        try:
            folder.rename(backup)
        except OSError as error:
            raise UserError(f"--overwrite: {folder} cannot be moved to {backup} ({error.strerror})") from None
        print(f"What {folder} held is kept in {backup}.", file=sys.stderr)
    return True


def backup_of(path: Path) -> Path:
    """A name beside a file or directory that is free."""
    places = (path.with_name(f"{path.name}.backup-{number}") for number in count(1))
    return next(place for place in places if not place.exists())


def _holdings(folder: Path) -> list[Path]:
    """What a directory holds, beside the logs that another rank of this launch may have begun."""
    return [path for path in folder.iterdir() if path.name != LOGS] if folder.is_dir() else []


def _agree(folder: Path, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            f"--overwrite: {folder} is not empty, and there is no terminal to ask; add --yes to begin anew (what is there is "
            "kept beside it), or leave --overwrite out to go on"
        )
    number = len(_holdings(folder))
    print(
        f"{folder} holds {number} files. Begin anew, and keep them beside it? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("--overwrite: nothing was changed; leave it out to go on with the run that is there")


def _check_unused(folder: Path) -> None:
    """Raises `UserError` if a launch is writing the journal that is there."""
    if (folder / JOURNAL).is_file():
        Lock(folder / f"{JOURNAL}.lock").release()
