"""run.yaml: what a run directory was made from, and whether a launch may go on with it.

Holds every option as resolved, the header's text, the hash of the seed file, the model's revision, and versions. A launch
that would change the plan is refused with the option named. Holds nothing secret and no time.
"""

import platform
from collections.abc import Mapping
from dataclasses import Field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from self_instruct.config.parser import convert
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS
from self_instruct.runs.files import put
from self_instruct.runs.layout import ACCEPTED, DESCRIPTION, JOURNAL, REJECTED
from self_instruct.seeds import sha256_of_file

FILE_NAME = DESCRIPTION
OVER_CATEGORIES = "over_categories"
"""The key of the options that were given in place of those that categories set for themselves."""
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "rouge-score", "numba", "sentence-transformers")


def describe(
    options: Mapping[str, Any], format: str, header: str, seed_tasks_sha256: str, model_revision: str, **more: Any
) -> dict[str, Any]:
    """The content of run.yaml; `more` is what only some runs are made from, as categories."""
    return {
        "format": format,
        "model_revision": model_revision,
        "seed_tasks_sha256": seed_tasks_sha256,
        "options": dict(options),
        "header": header,
        "response_filters_sha256": response_filters_hash(options),
        **more,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def response_filters_hash(options: Mapping[str, Any]) -> str | None:
    """SHA-256 of the file of --response_filters_path, or None where none is given. Raises `UserError` if it cannot be read."""
    path = options.get("response_filters_path")
    return sha256_of_file(Path(path)) if path else None


def read(folder: Path) -> dict[str, Any] | None:
    """The content of a directory's run.yaml, or None if it has none. Raises `UserError` if it cannot be understood."""
    path = folder / FILE_NAME
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); restore it, or use another --batch_dir"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("options"), dict):
        raise UserError(f"{path}: is not the description of a run; restore it, or use another --batch_dir")
    return content


def read_run(folder: Path, declared: Mapping[str, Field]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a run's run.yaml, and its options that are declared, each checked again.

    Raises `UserError` if the directory holds no run, or its description is not whole.
    """
    described = read(folder)
    if described is None:
        raise UserError(f"{folder}: holds no {FILE_NAME}; give the --batch_dir of a generation run")
    place = f"{folder / FILE_NAME}: "
    options = {
        name: convert(item, described["options"][name], place + name, Path.cwd())
        for name, item in declared.items()
        if name in described["options"]
    }
    whole = all(isinstance(described.get(key), str) for key in ("header", "model_revision", "seed_tasks_sha256"))
    if described.get("format") not in FORMATS or not whole:
        raise UserError(f"the run's {FILE_NAME} is not whole, or names an unknown format; restore it")
    return described, options


def over_categories(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the options that a run.yaml says were given in place of those that categories set for themselves."""
    names = content.get(OVER_CATEGORIES)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def of_journal(folder: Path) -> dict[str, Any] | None:
    """The description of the run that a directory's journal belongs to, or None where there is no journal to go on with.

    Raises `UserError` if files are there that a launch would replace although they did not come from a journal.
    """
    journal = folder / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        content = read(folder)
        if content is None:
            raise UserError(
                f"{folder}: has a journal but no {FILE_NAME}, so its plan is unknown; give another --batch_dir"
            )
        return content
    for name in (ACCEPTED, REJECTED):
        place = folder / name
        if place.exists() and (not place.is_file() or place.stat().st_size):
            raise UserError(
                f"{place}: was not made by a run in this directory and would be replaced; move it, or give another --batch_dir"
            )
    return None


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes run.yaml in one step."""
    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=119)
    if yaml.safe_load(text) != content:  # PyYAML folds a few rare line ends unless they are escaped
        text = yaml.safe_dump(dict(content), sort_keys=False, width=119)
    put(folder / FILE_NAME, text.encode("utf-8"))


def check_same_plan(
    folder: Path, earlier: Mapping[str, Any], now: Mapping[str, Any], declared: Mapping[str, Field]
) -> None:
    """Raises `UserError`, naming what differs, if going on would change the plan of the run; `declared` are its options."""
    changes = [
        f"--{name} was {earlier['options'][name]!r} and is now {now['options'][name]!r}"
        for name, item in declared.items()
        if item.metadata["fixed"] and name in earlier["options"] and earlier["options"][name] != now["options"][name]
    ]
    names = {"format": "the format", "seed_tasks_sha256": "the seed file's content", "header": "the header of the prompt",
             "model_revision": "the model", "response_filters_sha256": "the content of --response_filters_path",
             "topics_sha256": "the list of topics", OVER_CATEGORIES: "what goes before the options of categories"}  # fmt: skip
    for key, name in names.items():
        if earlier.get(key) != now.get(key):
            shown = f" (was {earlier.get(key)}, is now {now[key]})" if key in ("format", "model_revision") else ""
            changes.append(f"{name} is another one{shown}")
    before, after = earlier.get("categories") or {}, now.get("categories") or {}
    changes += [f"the file of category {name} is another one" for name in before if before[name] != after.get(name)]
    if changes:
        raise UserError(
            f"{folder} was begun with another plan: {'; '.join(changes)}. Give the earlier values to go on, or another "
            "--batch_dir to begin anew; thresholds and filters can be changed without generating, by python -m "
            "self_instruct.refilter"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
