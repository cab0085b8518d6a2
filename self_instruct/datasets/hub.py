"""Sending a dataset's directory to the Hub, by huggingface_hub. The token is that of the environment or the login; it is never
asked for, written or told.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from self_instruct.errors import UserError

_LOGIN = "log in by `hf auth login`, or set HF_TOKEN, with a token that may write"


class HubFailed(Exception):
    """The Hub, or the way to it, failed; nobody's mistake, and the same command may be given again."""


def check_name(repo: str) -> None:
    """Raises `UserError` if a text cannot be the name of a repository, or nothing may be sent."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UserError(f"--push_to_hub {repo}: is no name of a repository; give OWNER/NAME") from None


def check_online() -> None:
    """Raises `UserError` if the user has forbidden the network."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError("--push_to_hub: HF_HUB_OFFLINE forbids the network; unset it, or leave --push_to_hub out")


def push(folder: Path, names: Sequence[str], repo: str, private: bool) -> str:
    """Makes the repository if it is not there, and sends the files in one commit. Returns the address of the commit.

    Raises `UserError` for what the user has to mend, `HubFailed` for the rest.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    operations = [CommitOperationAdd(name, folder / name) for name in names]
    try:
        found = api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        commit = api.create_commit(found.repo_id, operations, commit_message="Dataset and card", repo_type="dataset")
    except HfHubHTTPError as error:
        raise _told(error.response.status_code, repo, error.server_message or "") from None
    except OfflineModeIsEnabled:
        check_online()
        raise
    except ValueError as error:  # of the validation of the card, or of a missing token
        raise UserError(f"--push_to_hub {repo}: {_one_line(str(error))}") from None
    except (HTTPError, OSError, RuntimeError) as error:
        raise HubFailed(
            f"--push_to_hub {repo}: {api.endpoint} cannot be reached ({type(error).__name__}); {folder} is whole, and the "
            "same command sends it"
        ) from None
    return str(commit.commit_url)


def _told(status: int, repo: str, said: str) -> Exception:
    """What a refusal of the Hub means."""
    said = f" ({_one_line(said)})" if said else ""
    if status == 401:
        return UserError(f"--push_to_hub {repo}: the Hub does not know who you are{said}; {_LOGIN}")
    if status == 403:
        return UserError(f"--push_to_hub {repo}: you may not write there{said}; {_LOGIN} to it")
    if status == 404:
        return UserError(
            f"--push_to_hub {repo}: the Hub has no such place, or your token may not see it{said}; {_LOGIN}"
        )
    if status < 500 and status != 429:
        return UserError(f"--push_to_hub {repo}: the Hub refused it with status {status}{said}")
    return HubFailed(f"--push_to_hub {repo}: the Hub failed with status {status}{said}; the same command tries again")


def _one_line(text: str) -> str:
    """Text of the Hub on a line, without what may be our token."""
    from huggingface_hub import get_token

    token = get_token() or os.environ.get("HF_TOKEN")
    text = " ".join(text.split())[:300]
    return text.replace(token, "(token)") if token else text
