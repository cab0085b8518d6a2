"""Recipes: the material of a run (seed tasks and a prompt, categories, or topics), checked before a model is loaded.

A recipe builds the plan, the curator, the writer and the counts, so that a launch, a dry run and a refilter treat all recipes
the same.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.engines.base import TokenCounter
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.assembly import (
    build_composer,
    build_curator,
    build_mix,
    build_origin,
    build_spending,
    read_header,
    stop_words,
)
from self_instruct.generation.config import Config
from self_instruct.generation.judging import Curator
from self_instruct.generation.plan import Plan, SeedPlan, numbered_stop
from self_instruct.generation.summary import Ending, summarise
from self_instruct.records import Prompt, Record
from self_instruct.rules.build import load_rules, reasons_of_rules
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.writer import Writer
from self_instruct.seeds import load_seeds, sha256_of_file


@dataclass(frozen=True)
class Session:
    """A plan and the curator whose decisions it follows."""

    plan: Plan
    curator: Curator


@dataclass(frozen=True)
class Recipe(ABC):
    """The material from which all parts of a run are built."""

    config: Config
    format: RecordFormat

    @property
    @abstractmethod
    def seeds(self) -> list[Record]:
        """The human-written tasks that the run begins with."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Return the entries for run.yaml: the header, the hash of the seeds, and the categories."""

    @abstractmethod
    def check(self) -> None:
        """Raise `UserError` for mistakes that can be found without a model."""

    @abstractmethod
    def first_prompts(self, reader: TokenCounter) -> list[tuple[str, Prompt]]:
        """Return the first prompts, each with a caption."""

    @abstractmethod
    def session(self, reader: TokenCounter) -> Session:
        """Return the plan and the curator of a launch; new vectors are stored. Raises `UserError` if no prompt fits."""

    @abstractmethod
    def curator(self) -> Curator:
        """Return the curator alone, for a journal that is replayed."""

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """Return the writer of the dataset."""
        return Writer(folder, build_origin(self.config, self.format, model_revision))

    def funnel(self) -> Funnel:
        """Return empty counts."""
        return Funnel(self.config.run.patience, spending=build_spending(self.config))

    def summary(self, ending: Ending) -> str:
        """Return the text printed at the end."""
        return summarise(ending)


@dataclass(frozen=True)
class SeedRecipe(Recipe):
    """A header and seed tasks."""

    header: str
    seed_tasks: list[Record]

    @classmethod
    def of(cls, config: Config, format: RecordFormat, prompt_path: Path) -> "SeedRecipe":
        """Read the files that the options name. Raises `UserError` for a file that is missing or has no seeds."""
        if not config.run.seed_tasks_path:
            raise UserError("--seed_tasks_path is missing; give a JSONL file of seed tasks, as seeds/code.jsonl")
        header = read_header(Path(config.prompt.prompt_path or prompt_path))
        return cls(config, format, header, load_seeds(Path(config.run.seed_tasks_path)))

    @property
    def seeds(self) -> list[Record]:
        """The seed tasks."""
        return self.seed_tasks

    def described(self) -> dict[str, Any]:
        """Return the header and the hash of the seed file."""
        return {
            "header": self.header,
            "seed_tasks_sha256": sha256_of_file(Path(self.config.run.seed_tasks_path or "")),
        }

    def check(self) -> None:
        """Raise `UserError` if there are not enough seeds, or a stop word is empty."""
        build_mix(self.config, self.seeds)
        stop_words(self.config)
        load_rules(self.config.filter)

    def first_prompts(self, reader: TokenCounter) -> list[tuple[str, Prompt]]:
        """Return the first prompt."""
        prompt = build_composer(self.config, self.format, self.header, self.seeds, reader).compose(0, [])
        shown = f"the first prompt: {len(prompt.demonstrations)} of {len(self.seeds)} seed tasks"
        return [(shown, prompt)]

    def session(self, reader: TokenCounter) -> Session:
        """Return the plan, whose prompts are checked to fit the model, and its curator."""
        composer = build_composer(self.config, self.format, self.header, self.seeds, reader)
        prompt, run, sequences = self.config.prompt, self.config.run, self.config.sampling.num_return_sequences
        stop = numbered_stop(prompt.max_tasks_per_request, stop_words(self.config))
        curator = build_curator(self.config, self.format, self.header, self.seeds, keeps_vectors=True)
        return Session(SeedPlan(composer, curator, run.seed, prompt.horizon or 1, stop, sequences), curator)

    def curator(self) -> Curator:
        """Return the curator."""
        return build_curator(self.config, self.format, self.header, self.seeds)

    def funnel(self) -> Funnel:
        """Return empty counts, with those by filter rule."""
        return Funnel(self.config.run.patience, reasons_of_rules(self.config.filter), build_spending(self.config))
