"""run.yaml: the inputs of a run, and the check that a later launch may continue it.

Contains the resolved options, the header's text, the hash of the seed file, the model's revision and package versions, but no
secrets and no time. A launch that would change the plan is refused, naming the options that differ.
"""

import platform
from collections.abc import Mapping
from dataclasses import Field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from self_instruct.config.parser import brief_repr, convert
from self_instruct.errors import UserError
from self_instruct.formats import FORMATS
from self_instruct.runs.files import put
from self_instruct.runs.layout import ACCEPTED, DESCRIPTION, JOURNAL, REJECTED
from self_instruct.seeds import sha256_of_file
from self_instruct.user_files import load_yaml, regular_bytes

FILE_NAME = DESCRIPTION
OVER_CATEGORIES = "over_categories"
"""The key for options that were given to override those of the category files."""
TEMPLATE = "chat_template"
"""The key for what the chat template renders."""
# PyYAML built with libyaml emits several times faster. Its loader is not used: deep nesting ends the process.
_SAFE_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "rouge-score", "numba", "sentence-transformers")


def describe(
    options: Mapping[str, Any], format: str, header: str, seed_tasks_sha256: str, model_revision: str, **more: Any
) -> dict[str, Any]:
    """Return the content of run.yaml; `more` has inputs that only some runs have, such as categories."""
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
    """Return the SHA-256 of the file of --response_filters_path, or None without the option."""
    path = options.get("response_filters_path")
    return sha256_of_file(Path(path)) if path else None


def read(folder: Path) -> dict[str, Any] | None:
    """Return the content of a directory's run.yaml, or None if it has none. Raises UserError if it is damaged."""
    path = folder / FILE_NAME
    try:
        content = load_yaml(regular_bytes(path).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read ({reason}); restore it, or use another --batch_dir") from None
    if not isinstance(content, dict) or not all(
        isinstance(part, dict) for part in (content.get("options"), content.get("categories") or {})
    ):
        raise UserError(f"{path}: is not the description of a run; restore it, or use another --batch_dir")
    options = content["options"]
    if "categories" in content and "auto" in (options.get("recipe"), options.get("answer_orphans")):
        # Written by a version in which these options had no effect on categories.
        options.update(recipe="few_shot", answer_orphans="never", system_prompt=None)
    return content


def read_run(folder: Path, declared: Mapping[str, Field]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of run.yaml, and its declared options, checked again.

    Raises UserError if the directory holds no run, or if run.yaml is incomplete.
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
        raise UserError(f"the run's {FILE_NAME} is incomplete, or names an unknown format; restore it")
    return described, options


def over_categories(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the options in a run.yaml that override those of the category files."""
    names = content.get(OVER_CATEGORIES)
    return tuple(map(str, names)) if isinstance(names, list) else ()


def of_journal(folder: Path) -> dict[str, Any] | None:
    """Return the content of run.yaml if the directory has a journal, else None.

    Raises UserError if the directory holds files that a launch would overwrite, but no journal that they came from.
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
                f"{place}: was not made by a run in this directory and would be overwritten; move it, or give another "
                "--batch_dir"
            )
    return None


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write run.yaml atomically."""
    text = yaml.dump(dict(content), Dumper=_SAFE_DUMPER, sort_keys=False, allow_unicode=True, width=119)
    if load_yaml(text) != content:  # PyYAML changes a few rare line ends unless they are escaped
        text = yaml.safe_dump(dict(content), sort_keys=False, width=119)
    put(folder / FILE_NAME, text.encode("utf-8"))


def check_same_plan(
    folder: Path, earlier: Mapping[str, Any], now: Mapping[str, Any], declared: Mapping[str, Field]
) -> None:
    """Raise UserError naming the differences if continuing would change the plan; `declared` are the options."""
    changes = [
        f"--{name} was {brief_repr(earlier['options'][name])} and is now {brief_repr(now['options'][name])}"
        for name, item in declared.items()
        if item.metadata["fixed"] and name in earlier["options"] and earlier["options"][name] != now["options"][name]
    ]
    names = {"format": "the format", "seed_tasks_sha256": "the seed file's content", "header": "the header of the prompt",
             "model_revision": "the model", "response_filters_sha256": "the content of --response_filters_path",
             "topics_sha256": "the list of topics", OVER_CATEGORIES: "the options that override categories",
             "patterns_sha256": "the form that --constrain enforces"}  # fmt: skip
    for key, name in names.items():
        if earlier.get(key) != now.get(key):
            values = f" (was {_name(earlier.get(key))}, is now {_name(now.get(key))})"
            changes.append(f"{name} has changed{values if key in ('format', 'model_revision') else ''}")
    before, after = earlier.get("categories") or {}, now.get("categories") or {}
    changes += [f"the file of category {name} has changed" for name in before if before[name] != after.get(name)]
    if TEMPLATE in earlier and earlier[TEMPLATE] != now.get(TEMPLATE):
        changes.append(
            "the chat template renders a message in another way: the template, --chat_template_kwargs, or a date or another "
            "value that the template takes from its surroundings has changed"
        )
    if changes:
        raise UserError(
            f"{folder} was started with another plan: {'; '.join(changes)}. Give the earlier values to continue it, or another "
            "--batch_dir to start a new run; to change thresholds and filters without generating, use "
            "self-instruct refilter"
        )


def _name(value: Any) -> str:
    return value[:300] if isinstance(value, str) else brief_repr(value)


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
