"""The options of a run or of a curated file as the header of a report shows them, read from the files beside the records.

Options that are missing or not set are left out. Paths are shortened to their last parts, since reports are shared.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from self_instruct.report.candidates import Run
from self_instruct.runs import manifest
from self_instruct.runs.layout import LOGS

_LOG_BYTES = 1 << 16  # the version is in the first line of a launch
_VERSION = re.compile(rb'"message": "self_instruct (\d[\w.+-]{0,40}) begins')
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_new_tokens", "request_batch_size")
_NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
_LIBRARIES = ("transformers", "torch")

Settings = list[tuple[str, str]]


def run_settings(run: Run) -> Settings:
    """Return the names and values of a run's options, and its dates."""
    described = manifest.read(run.folder) or {}
    options = run.options
    model = str(options.get("api_model") or options.get("model_name_or_path") or "")
    revision = str(described.get("model_revision") or "")
    backend = options.get("engine_backend")
    engine = [
        str(described.get("engine") or options.get("engine") or ""),
        f"backend {backend}" if options.get("engine") == "huggingface" and backend else "",
    ]
    moments = sorted(_moments(run))
    return _stated(
        ("model", f"{_shortened(model)} ({revision[:40]})" if model and revision else _shortened(model)),
        ("engine", ", ".join(filter(None, engine))),
        ("sampling", _listed(options, _SAMPLING)),
        ("thresholds", thresholds_text(options)),
        ("seed tasks", _seeds(options, described)),
        ("random seed", "" if options.get("seed") is None else str(options["seed"])),
        ("target", _target(options)),
        ("first completion", moments[0] if moments else ""),
        ("last completion", moments[-1] if moments else ""),
        ("version", _versions(run.folder, described)),
    )


def file_settings(options: Mapping[str, Any]) -> Settings:
    """Return the names and values of a curation's options; `options` are those of the report beside the file."""
    return _stated(("thresholds", thresholds_text(options)))


def thresholds_text(options: Mapping[str, Any]) -> str:
    """Return the novelty thresholds of the options in one line."""
    parts = []
    if options.get("rouge_threshold") is not None:
        parts.append(f"ROUGE-L {options['rouge_threshold']}")
    if options.get("embedding_threshold") is not None:
        model = _shortened(str(options.get("embedding_model_name_or_path") or ""))
        parts.append(f"cosine {options['embedding_threshold']}" + (f" by {model}" if model else ""))
    return ", ".join(parts)


def _stated(*settings: tuple[str, str]) -> Settings:
    return [(name, value[:300]) for name, value in settings if value]


def _listed(options: Mapping[str, Any], names: Iterable[str]) -> str:
    stated = (name for name in names if options.get(name) is not None and options[name] != _NEUTRAL.get(name))
    return ", ".join(f"{name} {options[name]}" for name in stated)


def _seeds(options: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    categories = described.get("categories")
    if isinstance(categories, dict) and categories:
        return "categories " + ", ".join(map(str, categories))
    path, digest = str(options.get("seed_tasks_path") or ""), str(described.get("seed_tasks_sha256") or "")
    shown = _shortened(path, 2)
    return f"{shown} (sha256 {digest[:12]})" if shown and digest else shown


def _target(options: Mapping[str, Any]) -> str:
    target = options.get("num_instructions_to_generate")
    return f"{target:,} records" if isinstance(target, int) else ""


def _moments(run: Run) -> Iterable[str]:
    """Return the times at which completions were journalled; without a journal, those in the records' provenance."""
    if run.entries:
        stated: list[Any] = [entry.created_at for entry in run.entries.values()]
    else:
        stated = [(item.row.get("provenance") or {}).get("created_at") for item in run.candidates.values()]
    found = (re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z", str(moment)) for moment in stated)
    return [f"{match[1]} {match[2]} UTC" for match in found if match]


def _versions(folder: Path, described: Mapping[str, Any]) -> str:
    stated = described.get("versions")
    versions = stated if isinstance(stated, dict) else {}
    parts = [f"{name} {versions[name]}" for name in _LIBRARIES if versions.get(name)]
    try:
        with (folder / LOGS / "rank-0.jsonl").open("rb") as file:
            if match := _VERSION.search(file.read(_LOG_BYTES)):
                parts.insert(0, f"self_instruct {match[1].decode()}")
    except OSError:
        pass
    return ", ".join(parts)


def _shortened(path: str, parts: int = 1) -> str:
    """Return the last parts of an absolute path; a Hub id is unchanged."""
    return "/".join(Path(path).parts[-parts:]) if path.startswith("/") else path
