"""The licence that a model's folder says it has, in the front matter of its README.md. Knows nothing of datasets."""

from pathlib import Path


def license_of(folder: Path) -> str:
    """The licence, empty if nothing readable says one."""
    from huggingface_hub import metadata_load

    try:
        found = metadata_load(folder / "README.md")
    except Exception:  # whatever is wrong with somebody's README, a licence is then not known
        return ""
    license = found.get("license") if isinstance(found, dict) else None
    return license[:100] if isinstance(license, str) else ""
