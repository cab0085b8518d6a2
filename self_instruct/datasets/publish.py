"""Write a dataset repository for the Hub to a directory, and push it with huggingface_hub.

The token comes from the environment or the login; it is never asked for, written or shown.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TypeVar

from self_instruct.datasets.card import ONE_FILE, Parts, Stated, read_stated, render_card
from self_instruct.datasets.history import Declared, Step, history
from self_instruct.datasets.naming import pasteable
from self_instruct.datasets.reading import AUTO, Source
from self_instruct.datasets.repository import BEGUN, CARD, Statistics, check_folder, lay_out
from self_instruct.errors import UserError
from self_instruct.runs.files import put
from self_instruct.runs.layout import ACCEPTED, CONSISTENT, JUDGED, OutputPaths

_log = logging.getLogger(__name__)

_PAUSES = (1, 3, 9)  # seconds between tries
_LATEST = 50  # commits among which to look for ours
_CONFLICTS, _TEMPORARY = (409, 412), (408, 425, 429)  # HTTP status codes
Answer = TypeVar("Answer")
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
    place = repo or pasteable(str(folder.absolute()))
    if place == ".":  # load_dataset does not accept it
        place = f"../{folder.absolute().name}"
    content = card_of(statistics, steps, stated, default_name(path, repo), place)
    if not dry_run:
        put(folder / CARD, content)
        (folder / BEGUN).unlink(missing_ok=True)
    return Repository(folder, statistics, steps, [(CARD, len(content)), *sizes], stated, kept)


def card_of(
    statistics: Statistics, steps: Sequence[Step], stated: Stated, name: str, place: str, parts: Parts = ONE_FILE
) -> bytes:
    """Return the content of a card, with the licences of the models as far as they are known."""
    if stated.model_license is None:
        licenses = {step.model: license_of(step.model_place) for step in steps if step.model_place is not None}
    else:
        names = {name for name, _ in statistics.models} | {step.model for step in steps if step.model}
        licenses = dict.fromkeys(names, stated.model_license)
    card = render_card(statistics, steps, licenses, stated, name, place, parts)
    return str(card).encode("utf-8", "backslashreplace")


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


@dataclass(frozen=True)
class Upload:
    """Files for one commit to a dataset repository, by their names there.

    `kept` is the folder in which the user finds the content if the upload fails. `mark` identifies the commit; `unsure` says
    that an earlier process may have made it already.
    """

    files: Mapping[str, Path]
    repo: str
    private: bool
    kept: Path
    title: str = "Dataset and card"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    unsure: bool = False


def push(upload: Upload) -> str:
    """Create the repository if needed, and send the files in one commit. Return the URL of the commit.

    Temporary failures are tried again after each of `_PAUSES`. A commit can succeed although the Hub answers with an error, so
    the repository's latest commits are read before another try. Raises UserError for errors that the user can fix, HubFailed
    for all others.
    """
    commit = _Commit(upload)
    for pause in _PAUSES:
        try:
            return call_hub(commit.send, upload.kept, upload.repo)
        except HubFailed as error:
            _log.warning("%s. Trying again in %d s.", error, pause)
            time.sleep(pause)
    try:
        return call_hub(commit.send, upload.kept, upload.repo)
    except HubFailed:
        if (url := commit.arrived()) is not None:
            return url
        raise


class _Commit:
    """One commit of all files, with a mark in its description that identifies it; `send` may be called again if it fails."""

    def __init__(self, upload: Upload) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        self._api, self._upload = HfApi(), upload
        self._id = ""  # the full name, which the Hub returns; a name without an owner gets the user's
        self._unsure = upload.unsure

    def send(self) -> str:
        """Create the repository if needed, and commit unless an earlier try did. Return the URL of the commit."""
        from huggingface_hub import CommitOperationAdd

        upload = self._upload
        if not self._id:
            self._id = create_repository(upload.repo, upload.private)
        if (url := self.arrived()) is not None:
            return url
        operations = [CommitOperationAdd(name, path) for name, path in upload.files.items()]
        self._unsure = True
        commit = self._api.create_commit(
            self._id,
            operations,
            commit_message=upload.title,
            commit_description=f"Push {upload.mark}",
            repo_type="dataset",
        )
        return str(commit.commit_url)

    def arrived(self) -> str | None:
        """Return the URL of our commit if an earlier try made it, else None. Raises HubFailed if this cannot be found out."""
        from huggingface_hub.errors import HTTPError

        try:
            latest = self._api.list_repo_commits(self._id, repo_type="dataset")[:_LATEST] if self._unsure else []
        except (HTTPError, OSError, RuntimeError):
            raise HubFailed(
                f"--push_to_hub {self._id}: the Hub failed and does not say whether the commit was made; look at the "
                "repository, then run the same command again"
            ) from None
        ours = next((one for one in latest if self._upload.mark in f"{one.title} {one.message}"), None)
        self._unsure = False
        return None if ours is None else f"{self._api.endpoint}/datasets/{self._id}/commit/{ours.commit_id}"


def create_repository(repo: str, private: bool) -> str:
    """Create a dataset repository unless it exists, and return its full name."""
    from huggingface_hub import HfApi

    made = HfApi().create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
    return str(made.repo_id)


def call_hub(send: Callable[[], Answer], folder: Path, repo: str) -> Answer:
    """Call `send` and return its result. Raises UserError or HubFailed in place of the Hub's errors.

    The message of a lost connection says that all files are in `folder`.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        return send()
    except HfHubHTTPError as error:
        raise _refusal(error.response.status_code, repo, error.server_message or "") from None
    except OfflineModeIsEnabled:
        check_online()
        raise
    except ValueError as error:  # an invalid card or a missing token
        raise UserError(f"--push_to_hub {repo}: {_one_line(str(error))}") from None
    except (HTTPError, OSError, RuntimeError) as error:
        raise HubFailed(
            f"--push_to_hub {repo}: {constants.ENDPOINT} cannot be reached ({type(error).__name__}); all files are in "
            f"{folder}, run the same command again to send them"
        ) from None


def _refusal(status: int, repo: str, said: str) -> Exception:
    """Return the error for an HTTP status of the Hub; `said` is its message."""
    said = f" ({_one_line(said)})" if said else ""
    if status == 401:
        return UserError(f"--push_to_hub {repo}: the Hub did not accept your login{said}; {_LOGIN}")
    if status == 403:
        return UserError(f"--push_to_hub {repo}: you do not have write access{said}; {_LOGIN} to it")
    if status == 404:
        return UserError(
            f"--push_to_hub {repo}: the repository or its owner does not exist, or your token has no access{said}; {_LOGIN}"
        )
    if status in _CONFLICTS:
        return HubFailed(
            f"--push_to_hub {repo}: the Hub answered {status}, because the repository is being changed by another "
            f"commit{said}; the same command tries again"
        )
    if status < 500 and status not in _TEMPORARY:
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
