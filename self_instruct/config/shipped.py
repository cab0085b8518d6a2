"""Where the files that come with the project are: prompts, seeds and configurations, in the same folders as in a clone."""

import site
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_BASES = (sys.prefix, site.getuserbase(), _ROOT)  # of pip install, pip install --user and pip install --target
PLACES = (_ROOT, *(Path(base, "share", "self_instruct") for base in _BASES))
"""The root of a clone, then where an installation without one puts the files."""


def shipped(name: str) -> Path:
    """Return the path of a file or folder by its name in a clone, such as `seeds/code.jsonl`."""
    return next((place / name for place in PLACES if (place / name).exists()), _ROOT / name)
