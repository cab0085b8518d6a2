"""Write a dataset repository for the Hub to a directory, and push it with huggingface_hub.

The token comes from the environment or the login; it is never asked for, written or shown.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from self_instruct.datasets.card import Stated, read_stated, render_card
from self_instruct.datasets.history import Declared, Step, history
from self_instruct.datasets.naming import pasteable
from self_instruct.datasets.reading import AUTO, Source
from self_instruct.datasets.repository import CARD, Statistics, check_folder, lay_out
from self_instruct.errors import UserError
from self_instruct.runs.files import put
from self_instruct.runs.layout import ACCEPTED, CONSISTENT, JUDGED, OutputPaths

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access"


class HubFailed(Exception):
    """The Hub or the network failed; the same command may succeed later."""


@dataclass(frozen=True)
class Repository:
    """A repository in a directory, or what a dry run would write there.

    `files` are names with sizes in bytes, `kept` the names of the facts in `stated` that come from the earlier card.
    """

    folder: Path
    statistics: Statistics
    steps: Sequence[Step]
    files: Sequence[tuple[str, int]]
    stated: Stated
    kept: Sequence[str]


def write_repository(
    path: Path,
    folder: Path,
    declared: Declared,
    stated: Stated | None = None,
    *,
    input_format: str = AUTO,
    split: str | None = None,
    map: tuple[tuple[str, str], ...] = (),
    repo: str | None = None,
    dry_run: bool = False,
) -> Repository:
    """Write the records of a run or a file, their conversations, and a card that loads them from `repo`, or from the folder.

    Facts that `stated` leaves open are taken from the folder's earlier card. A dry run reads and measures everything, and
    writes nothing. Raises UserError if the input cannot be read, or the folder holds other files.
    """
    source = path / ACCEPTED if (path / ACCEPTED).is_file() else path
    check_folder(folder, [source])
    stated, kept = _with_earlier(stated or Stated(), read_stated(folder / CARD))
    steps = history(path, declared)
    statistics, sizes = lay_out(
        Source(str(source), format=input_format, split=split, map=map), folder, "RUN_OR_FILE", write=not dry_run
    )
    if stated.model_license is None:
        licenses = {step.model: license_of(step.model_place) for step in steps if step.model_place is not None}
    else:
        names = {name for name, _ in statistics.models} | {step.model for step in steps if step.model}
        licenses = dict.fromkeys(names, stated.model_license)
    place = repo or pasteable(str(folder.absolute()))
    if place == ".":  # which load_dataset does not take
        place = f"../{folder.absolute().name}"
    card = render_card(statistics, steps, licenses, stated, default_name(path, repo), place)
    content = str(card).encode("utf-8", "backslashreplace")
    if not dry_run:
        put(folder / CARD, content)
    return Repository(folder, statistics, steps, [(CARD, len(content)), *sizes], stated, kept)


def default_name(path: Path, repo: str | None) -> str:
    """Return the dataset's name: that of the repository, else of the run's directory, else of the file."""
    if repo is not None:
        return repo.rpartition("/")[2]
    path = Path(os.path.abspath(path))
    if path.name in (ACCEPTED, JUDGED, CONSISTENT):
        return path.parent.name
    return path.name if path.is_dir() else OutputPaths(path).beside("").name


def _with_earlier(stated: Stated, earlier: Stated) -> tuple[Stated, list[str]]:
    """Fill facts that are not stated from an earlier card; return the facts, and the names of those filled."""
    kept = [item.name for item in fields(Stated) if getattr(stated, item.name) is None and getattr(earlier, item.name)]
    return replace(stated, **{name: getattr(earlier, name) for name in kept}), kept


def license_of(folder: Path) -> str:
    """Return the licence in the front matter of a model folder's README.md; empty if there is none or it cannot be read."""
    from huggingface_hub import metadata_load

    try:
        found = metadata_load(folder / "README.md")
    except Exception:  # any damaged README means an unknown licence
        return ""
    license = found.get("license") if isinstance(found, dict) else None
    return license[:100] if isinstance(license, str) else ""


def check_name(repo: str) -> None:
    """Raise UserError if a text cannot be the name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UserError(f"--push_to_hub {repo}: is not a valid repository name; give OWNER/NAME") from None


def check_online() -> None:
    """Raise UserError if HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("--push_to_hub: HF_HUB_OFFLINE forbids the network; unset it, or leave --push_to_hub out")


def push(repository: Repository, repo: str, private: bool) -> str:
    """Create the repository if needed, and send the files in one commit. Return the URL of the commit.

    Raises UserError for errors that the user can fix, HubFailed for all others.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    operations = [CommitOperationAdd(name, repository.folder / name) for name, _ in repository.files]
    try:
        found = api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        commit = api.create_commit(found.repo_id, operations, commit_message="Dataset and card", repo_type="dataset")
    except HfHubHTTPError as error:
        raise _refusal(error.response.status_code, repo, error.server_message or "") from None
    except OfflineModeIsEnabled:
        check_online()
        raise
    except ValueError as error:  # an invalid card or a missing token
        raise UserError(f"--push_to_hub {repo}: {_one_line(str(error))}") from None
    except (HTTPError, OSError, RuntimeError) as error:
        raise HubFailed(
            f"--push_to_hub {repo}: {api.endpoint} cannot be reached ({type(error).__name__}); all files are in "
            f"{repository.folder}, run the same command again to send them"
        ) from None
    return str(commit.commit_url)


def _refusal(status: int, repo: str, said: str) -> Exception:
    """Return the error for a status of the Hub."""
    said = f" ({_one_line(said)})" if said else ""
    if status == 401:
        return UserError(f"--push_to_hub {repo}: the Hub did not accept your login{said}; {_LOGIN}")
    if status == 403:
        return UserError(f"--push_to_hub {repo}: you do not have write access{said}; {_LOGIN} to it")
    if status == 404:
        return UserError(
            f"--push_to_hub {repo}: the repository or its owner does not exist, or your token has no access{said}; {_LOGIN}"
        )
    if status < 500 and status != 429:
        return UserError(f"--push_to_hub {repo}: the Hub refused the request with status {status}{said}")
    return HubFailed(
        f"--push_to_hub {repo}: the Hub failed with status {status}{said}; try the same command again later"
    )


def _one_line(text: str) -> str:
    """Return text of the Hub on one line, with our token replaced."""
    from huggingface_hub import get_token

    token = get_token() or os.environ.get("HF_TOKEN")
    text = " ".join(text.split())[:300]
    return text.replace(token, "(token)") if token else text
