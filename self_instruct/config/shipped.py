"""Locate the prompts, seeds and configurations that come with the project, in a clone or an installation."""

import site
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_BASES = (sys.prefix, site.getuserbase(), _ROOT)  # of pip install, pip install --user and pip install --target
ROOTS = (_ROOT, *(Path(base, "share", "self_instruct") for base in _BASES))
"""Root directories to search: the clone first, then the data directories of an installation."""


def shipped(name: str) -> Path:
    """Return the path of a file or folder by its name in a clone, such as `seeds/code.jsonl`."""
    return next((root / name for root in ROOTS if (root / name).exists()), _ROOT / name)
