"""Check with one request whether the Hugging Face Hub can be reached.

Without a network, the libraries that load models retry each file for half a minute, so check here first.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

_VALID_FOR = 60.0  # seconds
_answers: dict[str, tuple[float, bool]] = {}


def reachable() -> bool:
    """Return whether the Hub answers within `HF_HUB_ETAG_TIMEOUT` seconds; False with `HF_HUB_OFFLINE`.

    The result is cached for a minute, so that loading the parts of a model sends one request.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    asked, answered = _answers.get(constants.ENDPOINT, (0.0, False))
    if not asked or time.monotonic() - asked > _VALID_FOR:
        answered = _asked(constants.ENDPOINT, constants.HF_HUB_ETAG_TIMEOUT)
        _answers[constants.ENDPOINT] = time.monotonic(), answered
    return answered


@contextmanager
def offline_if_unreachable(name: str) -> Iterator[None]:
    """Make the libraries use their cache only, if `name` is not a folder and the Hub cannot be reached.

    `local_files_only=True` is not enough: transformers does not pass it on to its search for adapters.
    """
    if Path(name).expanduser().is_dir() or reachable():
        yield
        return
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached_commit(name: str, revision: str | None = None, file: str = "config.json") -> str | None:
    """Return the commit of a cached model for a branch, tag or commit; None if its `file` is not in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, file, revision=revision)
    except ValueError:  # not a valid Hub name
        return None
    return Path(found).parent.name if isinstance(found, str) else None


def _asked(endpoint: str, timeout: float) -> bool:
    from huggingface_hub import get_session

    answers = list[int]()

    def ask() -> None:
        try:
            answers.append(get_session().head(endpoint, timeout=timeout).status_code)
        except Exception:  # no network, a broken proxy, a malformed HF_ENDPOINT: no answer in any case
            return

    # A DNS lookup has no timeout and cannot be interrupted, so send the request from a thread.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)
