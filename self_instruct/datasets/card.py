"""Render the dataset card: metadata for the Hub and the `datasets` library, and Markdown from card.md.jinja.

The template escapes every value for Markdown, so that names and model output cannot break the card.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from self_instruct.datasets.history import Step
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.repository import CHATS, MARK, RECORDS, Statistics
from self_instruct.records import json_line

if TYPE_CHECKING:
    from huggingface_hub import DatasetCard, DatasetCardData
    from jinja2 import Environment

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
_LONGEST = 1500  # characters of each text
_NO_CHAT = {
    "no_answer": "no answer", "no_instruction": "no instruction", "empty": "no text",
    "other_turns": "tool turns, or turns without text",
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The files of the two configurations, as paths or patterns. `progress` is a sentence for the card of an unfinished run."""

    records: str
    chats: str
    progress: str = ""


ONE_FILE = Parts(RECORDS, CHATS)


@dataclass(frozen=True)
class Stated:
    """Facts that only the user knows, each None if it was not given: the display name, the licence as a Hub id, language codes,
    and the licence of the model.
    """

    pretty_name: str | None = None
    license: str | None = None
    language: Sequence[str] | None = None
    model_license: str | None = None


def read_stated(path: Path) -> Stated:
    """Return the facts in the front matter of an earlier card; all None if the file is not such a card or cannot be read."""
    from huggingface_hub import metadata_load

    try:
        found = metadata_load(path) if MARK in path.read_text(encoding="utf-8") else None
    except Exception:  # any missing or damaged card counts as empty
        return Stated()
    about = found if isinstance(found, dict) else {}
    texts = {name: about.get(name) for name in ("pretty_name", "license", "model_license")}
    language = about.get("language")
    language = [language] if isinstance(language, str) else language
    known = isinstance(language, list) and all(isinstance(code, str) for code in language)
    return Stated(
        language=language if known else None,
        **{name: text for name, text in texts.items() if isinstance(text, str)},
    )


def render_card(
    statistics: Statistics,
    steps: Sequence[Step],
    licenses: Mapping[str, str],
    stated: Stated,
    name: str,
    place: str,
    parts: Parts = ONE_FILE,
) -> "DatasetCard":
    """Return the card. `licenses` maps models to their known licences, `name` is the title unless `stated` has a display name,
    and `place` is the argument of `load_dataset`.
    """
    from huggingface_hub import DatasetCard

    body = _environment().get_template("card.md.jinja").render(
        name=stated.pretty_name or name,
        models=list(dict.fromkeys(name for name, _ in statistics.models)),
        statistics=statistics,
        steps=steps,
        place=place,
        why=_NO_CHAT,
        example=_example(statistics),
        model_rows=_models(statistics, steps, licenses),
        source_rows=_sources(statistics),
        figure_rows=_figures(statistics),
        category_rows=[(name, f"{number:,}") for name, number in statistics.categories.most_common()],
        settings=_settings(steps),
        mark=MARK,
        progress=parts.progress,
    )  # fmt: skip
    return DatasetCard(f"---\n{card_data(statistics, stated, parts).to_yaml()}\n---\n\n{body}\n")


def card_data(statistics: Statistics, stated: Stated, parts: Parts = ONE_FILE) -> "DatasetCardData":
    """Return the metadata of the card. Facts that `stated` does not give are omitted."""
    from huggingface_hub import DatasetCardData

    configs: list[dict[str, Any]] = [
        {"config_name": "default", "default": True, "data_files": [{"split": "train", "path": parts.records}]}
    ]
    if statistics.chats:
        configs.append({"config_name": "chat", "data_files": [{"split": "train", "path": parts.chats}]})
    return DatasetCardData(
        pretty_name=stated.pretty_name,
        license=stated.license,
        language=list(stated.language) if stated.language else None,
        model_license=stated.model_license,
        size_categories=[next((name for limit, name in _SIZES if statistics.records < limit), "n>1B")],
        task_categories=["text-generation"],
        tags=["instruction-tuning", *(["synthetic", "self-instruct"] if statistics.models else [])],
        configs=configs,
    )


def _example(statistics: Statistics) -> str:
    if statistics.example is None:
        return ""
    row = row_of(statistics.example, set())
    texts = {name: row[name] for name in ("instruction", "input", "output")}
    cut = {name: text if len(text) <= _LONGEST else text[:_LONGEST] + " ..." for name, text in texts.items()}
    return json_line(cut).decode().strip()


def _models(statistics: Statistics, steps: Sequence[Step], licenses: Mapping[str, str]) -> list[tuple[str, ...]]:
    found = Counter(statistics.models)
    for step in steps:
        if step.model and (step.model, step.revision) not in found:
            found[step.model, step.revision] += 0
    return [(name, revision or "not known", f"{number:,}", licenses.get(name) or "not known")
            for (name, revision), number in found.most_common()]  # fmt: skip


def _sources(statistics: Statistics) -> list[tuple[str, ...]]:
    if not any(source or license for source, license in statistics.sources):
        return []
    return [(source or "not named", license or "not stated", f"{number:,}")
            for (source, license), number in statistics.sources.most_common()]  # fmt: skip


def _figures(statistics: Statistics) -> list[tuple[str, ...]]:
    columns: dict[str, Counter[Any]] = {f"words of {name}": counts for name, counts in statistics.words.items()}
    if statistics.rouge_l:
        columns["ROUGE-L to the nearest"] = statistics.rouge_l
    return [(name, *_quantiles(counts), f"{counts.total():,}") for name, counts in columns.items()]


def _quantiles(counts: Counter[Any]) -> list[str]:
    """Return minimum, 5 %, median, 95 % and maximum of a distribution, each as a value that occurs in it."""
    values, total, found = sorted(counts), counts.total(), []
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        left = share * total
        for value in values:
            left -= counts[value]
            if left <= 0:
                break
        found.append(f"{value:,}")
    return found


def _settings(steps: Sequence[Step]) -> list[tuple[int, str]]:
    """Return the number of each step that has options, with its options as YAML."""
    found = []
    for number, step in enumerate(steps, start=1):
        content = {
            key: dict(value) for key, value in (("options", step.options), ("versions", step.versions)) if value
        }
        if content:
            found.append((number, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=119)))
    return found


# ---- Markdown


@cache
def _environment() -> "Environment":
    """Return the template environment. It escapes every value for Markdown instead of HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("self_instruct.datasets", ""),
        autoescape=True,
        finalize=lambda value: Markup(_plain(value)) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=lambda value: format(value, ","),
        code=lambda text: Markup(_code(text)),
        fence=lambda text, language: Markup(_fenced(str(text), language)),
        quoted=lambda text: Markup(json.dumps(text, ensure_ascii=False)),
    )
    return made


def _plain(text: str) -> str:
    """Return the text on one line, escaped for Markdown."""
    return re.sub(r"([\\`*_|<>\[\]#])", r"\\\1", " ".join(text.split()))[:300]


def _code(text: str) -> str:
    """Return the text on one line as inline code."""
    text = " ".join(text.split())
    ticks = "`" * (_longest_ticks(text) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"{ticks}{text}{ticks}"


def _fenced(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "`" * max(3, _longest_ticks(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
