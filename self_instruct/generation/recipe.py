"""Recipes: the material of a run (seed tasks and a prompt, categories, or topics), checked before a model is loaded.

A recipe builds the plan, the curator, the writer and the counts, so that a launch, a dry run and a refilter treat all recipes
the same.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from self_instruct.engines.base import TokenCounter
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.answers import AnswerQueue
from self_instruct.generation.assembly import (
    answer_sampling,
    answers_alone,
    build_answering,
    build_curator,
    build_mix,
    build_origin,
    build_recipe_composer,
    build_sampling,
    build_spending,
    build_stop,
    build_testing,
    stop_words,
    template_arguments,
)
from self_instruct.generation.automatic_options import for_model, with_horizon, with_template
from self_instruct.generation.config import Config
from self_instruct.generation.judging import Curator
from self_instruct.generation.patterns import check_constrain, described
from self_instruct.generation.plan import Composer, Plan, SeedPlan
from self_instruct.generation.prompts import read_header
from self_instruct.generation.summary import Ending, summarise
from self_instruct.generation.task_lists import TaskListComposer
from self_instruct.generation.user_turns import UserTurnParser
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
        """Return a curator without a plan, to decide on the entries of a journal."""

    def with_config(self, config: Config) -> "Recipe":
        """Return the recipe with another configuration."""
        return replace(self, config=config)

    def for_model(self, reader: TokenCounter) -> "Recipe":
        """Return the recipe with the options that depend on the model. Raises `UserError` if they do not suit it."""
        config = with_template(self.config, reader)
        check_constrain(config, reader)
        return self.with_config(with_horizon(config))

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """Return the writer of the dataset."""
        origin = build_origin(self.config, self.format, model_revision)
        return Writer(folder, origin, keep_reasoning=self.config.run.keep_reasoning)

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
    prompt_path: Path | None = None

    @classmethod
    def of(cls, config: Config, format: RecordFormat, prompt_path: Path) -> "SeedRecipe":
        """Read the files that the options name. Raises `UserError` for a file that is missing or has no seeds."""
        path = config.run.seed_tasks_path
        if not path and config.prompt.recipe != "magpie":
            raise UserError("--seed_tasks_path is missing; give a JSONL file of seed tasks, such as seeds/code.jsonl")
        header = _header(config, prompt_path)
        return cls(config, format, header, load_seeds(Path(path)) if path else [], prompt_path)

    def with_config(self, config: Config) -> "Recipe":
        """Return the recipe with another configuration, and the header of its recipe."""
        header = _header(config, self.prompt_path) if self.prompt_path else self.header
        return replace(self, config=config, header=header)

    def for_model(self, reader: TokenCounter) -> "Recipe":
        """Return the recipe with options that suit the model in place of "auto"."""
        config = for_model(with_template(self.config, reader), reader)
        check_constrain(config, reader)
        return self.with_config(with_horizon(config))

    @property
    def seeds(self) -> list[Record]:
        """The seed tasks."""
        return self.seed_tasks

    def described(self) -> dict[str, Any]:
        """Return the header and the hash of the seed file."""
        path = self.config.run.seed_tasks_path
        return {
            "header": self.header,
            "seed_tasks_sha256": sha256_of_file(Path(path)) if path else hashlib.sha256(b"").hexdigest(),
            **described(self.config),
        }

    def check(self) -> None:
        """Raise `UserError` if there are not enough seeds, or a stop word is empty."""
        if self.config.prompt.recipe != "magpie":
            build_mix(self.config, self.seeds)
        build_sampling(self.config)
        stop_words(self.config)
        template_arguments(self.config)
        prompt = self.config.prompt
        check_num_answers(self.config, answers_alone(self.config) or "auto" in (prompt.recipe, prompt.answer_orphans))
        check_constrain(self.config)
        load_rules(self.config.filter)

    def first_prompts(self, reader: TokenCounter) -> list[tuple[str, Prompt]]:
        """Return the first prompt."""
        prompt = self._composer(reader).compose(0, [])
        shown = f"the first prompt: {len(prompt.demonstrations)} of {len(self.seeds)} seed tasks"
        return [(shown, prompt)]

    def session(self, reader: TokenCounter) -> Session:
        """Return the plan and its curator, after checking that the prompts fit the model."""
        config, prompt, composer = self.config, self.config.prompt, self._composer(reader)
        horizon, together = prompt.horizon or 1, config.sampling.num_return_sequences
        check_num_answers(config, answers_alone(config))
        queue, turns = AnswerQueue(horizon, together, prompt.num_answers), UserTurnParser(prompt.magpie_opening or "")
        curator = build_curator(
            config, self.format, self.header, self.seeds, keeps_vectors=True, observe=queue.observe, turns=turns
        )
        plan = SeedPlan(
            composer, curator, config.run.seed, horizon, build_stop(config, composer), together, prompt.system_prompt,
            prompt.recipe == "magpie", queue, build_answering(config, self.seeds, reader), turns.without_tasks,
            _pattern(composer) if config.sampling.constrain else None,
            build_testing(config, reader),
        )  # fmt: skip
        return Session(plan, curator)

    def _composer(self, reader: TokenCounter) -> Composer:
        return build_recipe_composer(self.config, self.format, self.header, self.seeds, reader)

    def curator(self) -> Curator:
        """Return the curator."""
        return build_curator(self.config, self.format, self.header, self.seeds)

    def funnel(self) -> Funnel:
        """Return empty counts, for the filter rules in use."""
        return Funnel(self.config.run.patience, reasons_of_rules(self.config.filter), build_spending(self.config))


def check_num_answers(config: Config, alone: bool) -> None:
    """Raise `UserError` if --num_answers asks for several answers to a task, but the tasks are not sent `alone`, or all answers
    would be the same.
    """
    number = config.prompt.num_answers
    if number == 1:
        return
    if not alone:
        raise UserError(
            f"--num_answers {number} needs requests that answer one task, and this run has none: use --recipe chat or magpie, "
            "--answer_orphans always, or a category of two steps"
        )
    if (answer_sampling(config) or build_sampling(config)).temperature == 0:
        raise UserError(
            f"--num_answers {number} would draw the same answer {number} times at a temperature of 0; give an "
            "--answer_temperature above 0, or leave --num_answers out"
        )


def _pattern(composer: Composer) -> str:
    """Return the pattern of a completion with new tasks."""
    return composer.pattern if isinstance(composer, TaskListComposer) else composer.format.pattern()


def _header(config: Config, prompt_path: Path) -> str:
    """Read the prompt's header from --prompt_path, else from the recipe's file beside `prompt_path`; empty for magpie."""
    recipe, given = config.prompt.recipe, config.prompt.prompt_path
    if recipe == "magpie":
        return ""
    beside = prompt_path.with_name("chat_prompt.txt") if recipe == "chat" else prompt_path
    return read_header(Path(given) if given else beside)
