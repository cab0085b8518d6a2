"""Compute the revision of a model from its content, and check that its files held all of its weights."""

import hashlib
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.hub import cached_commit

_TEXTS = (".json", ".jinja", ".txt", ".model")
_WEIGHTS = (".safetensors", ".gguf")


def check_complete(name: str, loading_info: dict[str, Any]) -> None:
    """Raise UserError if `from_pretrained` found no weights for a parameter and filled it with random numbers."""
    missing = sorted(loading_info["missing_keys"]) + sorted(str(item[0]) for item in loading_info["mismatched_keys"])
    if missing:
        raise UserError(
            f"--model_name_or_path {name}: {len(missing)} weights are missing or differ in shape from the configuration, "
            f"for example {missing[0]}; the files must hold all weights of the model that the configuration describes"
        )


def model_revision(name: str, revision: str | None = None) -> str:
    """Return a Hub model's commit in the cache, or a hash of a local model's small files and samples of its weights."""
    path = Path(name).expanduser()
    if not path.exists():
        # Not every version of transformers has the commit in its configurations.
        return cached_commit(name, revision) or "unknown"
    return f"local-{content_hash(sorted(path.glob('*')) if path.is_dir() else [path])}"


def content_hash(paths: list[Path]) -> str:
    """Return 12 hex digits that depend on the names and content of files; large files are sampled."""
    digest = hashlib.sha256()
    for path in paths:
        if path.suffix in _TEXTS:
            digest.update(path.name.encode() + path.read_bytes())
        elif path.suffix in _WEIGHTS:
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            _sample(path, digest)
    return digest.hexdigest()[:12]


def _sample(path: Path, digest: Any, pieces: int = 64, size: int = 4096) -> None:
    """Hash evenly spaced pieces of a large file. Different weights differ everywhere, so a few pieces suffice."""
    total = path.stat().st_size
    with path.open("rb") as file:
        for number in range(pieces):
            file.seek(number * max(total - size, 0) // (pieces - 1))
            digest.update(file.read(size))
