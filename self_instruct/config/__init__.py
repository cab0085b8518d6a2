"""Every option, declared once, in a dataclass for each concern; and a run's configuration, made of these.

Model, seed file and header are compared by content, not by name, when a run goes on. Knows nothing of argv, YAML or files:
arguments.py fills these classes.
"""

from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, fields
from typing import Any, TypeVar

from self_instruct.config.categories import CategoryOptions, TopicOptions
from self_instruct.config.curation import (
    ConsistencyOptions,
    CurationOptions,
    FilterOptions,
    JudgeOptions,
    NoveltyOptions,
)
from self_instruct.config.endpoint import EndpointOptions
from self_instruct.config.generation import ModelOptions, PromptOptions, RunOptions, SamplingOptions
from self_instruct.config.html_report import HtmlReportOptions
from self_instruct.config.reporting import ReportingOptions

__all__ = [
    "GROUPS",
    "CategoryOptions",
    "Config",
    "ConsistencyOptions",
    "CurationOptions",
    "EndpointOptions",
    "FilterOptions",
    "HtmlReportOptions",
    "JudgeOptions",
    "ModelOptions",
    "NoveltyOptions",
    "PromptOptions",
    "ReportingOptions",
    "RunOptions",
    "SamplingOptions",
    "TopicOptions",
    "assemble",
    "declarations",
    "flatten",
    "resolved",
    "taken",
]  # fmt: skip

Options = TypeVar("Options")


@dataclass(frozen=True)
class Config:
    """All options of a run, by concern."""

    run: RunOptions
    prompt: PromptOptions
    model: ModelOptions
    sampling: SamplingOptions
    filter: FilterOptions
    novelty: NoveltyOptions
    mixture: CategoryOptions
    endpoint: EndpointOptions
    reporting: ReportingOptions


GROUPS: tuple[type, ...] = (
    RunOptions, PromptOptions, ModelOptions, SamplingOptions, FilterOptions, NoveltyOptions, CategoryOptions,
    EndpointOptions,
    ReportingOptions,
)  # fmt: skip


def declarations(groups: tuple[type, ...] = GROUPS) -> dict[str, Field]:
    """Every option's declaration by name, in the order of --help."""
    return {declared.name: declared for group in groups for declared in fields(group)}


def flatten(config: Config) -> dict[str, Any]:
    """All values by option name."""
    return {name: getattr(group, name) for part in fields(config)
            for group in [getattr(config, part.name)] for name in (f.name for f in fields(group))}  # fmt: skip


def taken(group: type[Options], values: Mapping[str, Any]) -> Options:
    """The options of one group from values by option name; what is absent takes its default."""
    return group(**{item.name: values[item.name] for item in fields(group) if item.name in values})  # type: ignore[arg-type]


def resolved(values: Mapping[str, Any], *groups: type) -> dict[str, Any]:
    """All options of some groups by name, as reports tell them: the values, and defaults for what is absent."""
    return {name: value for group in groups for name, value in asdict(taken(group, values)).items()}


def assemble(values: Mapping[str, Any]) -> Config:
    """A configuration from values by option name; what is absent takes its default."""
    return Config(*(taken(group, values) for group in GROUPS))
