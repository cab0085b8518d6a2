"""The recipe of a run from categories: read their files, shares and topics, and build the plan and the curator."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from self_instruct.config.option import declarations
from self_instruct.config.parser import convert
from self_instruct.config.shipped import shipped
from self_instruct.engines.base import TokenCounter
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.assembly import (
    answers_alone,
    build_answering,
    build_bounds,
    build_novelty,
    build_origin,
    build_sampling,
    build_spending,
    build_testing,
    build_verification,
    prompt_budget,
    stop_words,
    token_count,
)
from self_instruct.generation.automatic_options import for_model, with_horizon, with_template
from self_instruct.generation.categories.category import ALL, COUNT, NONE, OPTIONS, SAMPLING, Category
from self_instruct.generation.categories.category_file import read_category
from self_instruct.generation.categories.judging import category_rules
from self_instruct.generation.categories.library import find
from self_instruct.generation.categories.plan import CategoryComposer, CategoryPlan, filled
from self_instruct.generation.categories.progress import CategoryProgress, RequestCounts
from self_instruct.generation.categories.quotas import quotas_of, read_shares
from self_instruct.generation.categories.schedule import Schedule
from self_instruct.generation.categories.topic_lists import read_topics
from self_instruct.generation.config import GROUPS, Config, flatten
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Curator, Rules, compared_text
from self_instruct.generation.patterns import check_constrain, described
from self_instruct.generation.prompts import PromptComposer
from self_instruct.generation.recipe import Recipe, Session, check_num_answers
from self_instruct.generation.task_lists import TaskListComposer
from self_instruct.records import Aim, Prompt, Record
from self_instruct.rules.build import build_rules, load_rules, reasons_of_rules
from self_instruct.rules.validators import build_validators
from self_instruct.runs import manifest
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.writer import Writer


@dataclass(frozen=True)
class CategoryRecipe(Recipe):
    """Categories with their shares. `configs` holds the options of the run for each category, with those that its file sets,
    except the options named in `over`: the user gave these to override every category.
    """

    shares: Mapping[str, float]
    categories: Mapping[str, Category]
    configs: Mapping[str, Config]
    topics: tuple[str, ...]
    over: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config, format: RecordFormat, over: Collection[str] = ()) -> "CategoryRecipe":
        """Read the categories named by the options. Raises `UserError` for an option that conflicts with categories,
        and for a mistake in a file.
        """
        options = config.category
        _check_options(config)
        shares = read_shares(options.categories or "")
        own = Path(options.categories_path) if options.categories_path else None
        paths = dict(zip(shares, find(list(shares), own), strict=True))
        triggers = {name: getattr(config.prompt, f"{name}_trigger") for name in ("instruction", "input", "output")}
        categories, configs = {}, {}
        for name, path in paths.items():
            category = read_category(path)
            try:
                category = replace(category, format=category.format.with_triggers(**triggers))
            except ValueError as error:
                raise UserError(f"{error}; change the --..._trigger options") from None
            categories[name] = category
            configs[name] = _own_config(config, category, path, over)
            load_rules(configs[name].filter, f"category file {path}: filter_rules")
            for key in ("validators", "instruction_validators"):
                try:
                    build_validators(getattr(category, key))
                except UserError as error:
                    raise UserError(f"category file {path}: {key}: {error}") from None
        topics: tuple[str, ...] = ()
        if any(category.uses_topics for category in categories.values()):
            topics = read_topics(Path(options.topics_path) if options.topics_path else shipped("configs/topics.txt"))
        return cls(config, format, shares, categories, configs, topics, tuple(sorted(over)))

    def with_config(self, config: Config) -> "CategoryRecipe":
        """Return the recipe with another configuration. Each category keeps its own system message for answers."""
        configs = {
            name: replace(own, prompt=replace(config.prompt, answer_system_prompt=own.prompt.answer_system_prompt))
            for name, own in self.configs.items()
        }
        return replace(self, config=config, configs=configs)

    def for_model(self, reader: TokenCounter) -> "CategoryRecipe":
        """Return the recipe with options that suit the model in place of "auto"."""
        config = for_model(with_template(self.config, reader), reader)
        check_constrain(config, reader)
        return self.with_config(with_horizon(config))

    @cached_property
    def asked(self) -> dict[str, Category]:
        """The categories with the `answered_alone` that holds for --recipe and --answer_orphans."""
        prompt = self.config.prompt
        orphans = prompt.answer_orphans == "always"
        return {name: item.asked_as(prompt.recipe, orphans) for name, item in self.categories.items()}

    def replaced(self, given: Collection[str]) -> dict[str, Any]:
        """Return those of the `given` options that have no effect because every category overrides them, with their values."""
        options = flatten(self.config)
        owned = [name for name in OPTIONS if all(name in item.options for item in self.categories.values())]
        own = {name: [flatten(config)[name] for config in self.configs.values()] for name in owned}
        return {name: options[name] for name in owned if name in given and any(v != options[name] for v in own[name])}

    @property
    def quotas(self) -> dict[str, int]:
        """The number of records of each category."""
        return quotas_of(self.shares, self.config.run.num_instructions_to_generate)

    @property
    def seeds(self) -> list[Record]:
        """The demonstrations of all categories."""
        return [record for item in self.categories.values() for record in item.demonstrations]

    def described(self) -> dict[str, Any]:
        """Return the hashes of the category files and of the topics; there is no header and no seed file."""
        alone = answers_alone(self.config)
        return {
            "header": "",
            "seed_tasks_sha256": hashlib.sha256(b"").hexdigest(),
            "categories": {
                name: {
                    "format": item.format.name,
                    "steps": item.steps,
                    "sha256": item.sha256,
                    **({"alone_sha256": item.alone_sha256} if alone else {}),
                }
                for name, item in self.categories.items()
            },
            **({manifest.OVER_CATEGORIES: list(self.over)} if self.over else {}),
            "topics_sha256": hashlib.sha256("\n".join(self.topics).encode("utf-8")).hexdigest(),
            **described(self.config),
        }

    def check(self) -> None:
        """Raise `UserError` if a stop word is empty, or a temperature is too low."""
        stop_words(self.config)
        check_constrain(self.config)
        for config in self.configs.values():
            build_sampling(config)

    def first_prompts(self, reader: TokenCounter) -> list[tuple[str, Prompt]]:
        """Return the first prompt of each category, and for categories of two steps one that asks for an answer."""
        shown = []
        for name, composer in self._composers(reader).items():
            category = composer.category
            values = {key: item.value(f"shown:{key}", 0) for key, item in category.variables.items()}
            if category.uses_topics:
                values["topic"] = self.topics[0]
            for step in (1, 2) if category.waits else (1,):
                record = category.demonstrations[0] if step == 2 else None
                prompt, _ = composer.compose(0, Aim(name, step, None, values), [], record, self.config.run.seed)
                last = 2 if category.waits else 1
                shown.append((f"{name}, step {step} of {last}: {len(prompt.demonstrations)} demonstrations", prompt))
        return shown

    def session(self, reader: TokenCounter) -> Session:
        """Return the plan and its curator, after checking that prompts with the longest values fit the model."""
        composers, run = self._composers(reader), self.config.run
        waiting = [name for name, item in self.asked.items() if item.waits]
        for config in [self.configs[name] for name in waiting] or [self.config]:
            check_num_answers(config, bool(waiting))
        for name, composer in composers.items():
            category = composer.category
            longest = category.texts(category.longest(self.topics), composer.tasks)
            for step, step_composer in composer.steps.items():
                try:
                    filled(step_composer, category, step, {**longest, COUNT: str(composer.tasks)}).check()
                except UserError as error:
                    raise UserError(f"category {name}: {error}") from None
        seen, progress = (CategoryProgress(self.quotas, run.patience, run.min_yield) for _ in range(2))
        schedule = Schedule(
            self.shares,
            {name: composer.tasks for name, composer in composers.items()},
            seen,
            self.config.prompt.num_answers,
        )
        counts: list[RequestCounts] = []
        curator = self.curator(keeps_vectors=True, counts=counts)
        horizon = self.config.prompt.horizon or 1
        testing = build_testing(self.config, reader)
        plan = CategoryPlan(composers, curator, counts, schedule, progress, run.seed, horizon, self.topics, testing)
        return Session(plan, curator)

    def curator(self, *, keeps_vectors: bool = False, counts: list[RequestCounts] | None = None) -> Curator:
        """Return the curator of all categories, which compares their records with each other and with all
        demonstrations.

        The counts of each request are appended to `counts`.
        """
        quotas, rules = self.quotas, dict[str | None, Rules]()
        for name, item in self.asked.items():
            config, read_first = self.configs[name], f"{item.prompt.text}\n{item.request.text}"
            filters = build_rules(config.filter, read_first, config.novelty.rouge_tokenizer)
            numbers = quotas[name], self._tasks(name), self.config.prompt.num_answers
            rules[name] = category_rules(item, filters, build_bounds(config), *numbers)
        start = [
            (record.id, compared_text(record, item.format))
            for item in self.categories.values()
            for record in item.demonstrations
        ]
        by_meaning = any(config.novelty.embedding_threshold is not None for config in self.configs.values())
        novelty = build_novelty(self.config, start, by_meaning, keeps_vectors)
        verification = build_verification(self.config)
        if counts is None:
            return Curator(rules, novelty, verification=verification)
        return Curator(rules, novelty, lambda *decided: counts.append(RequestCounts.of(*decided)), verification)

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """Return the writer of the dataset."""
        origins = {
            name: build_origin(self.configs[name], item.format, model_revision, item.answered_alone != NONE)
            for name, item in self.asked.items()
        }
        origin = build_origin(self.config, self.format, model_revision)
        return Writer(folder, origin, origins, self.config.run.keep_reasoning)

    def funnel(self) -> Funnel:
        """Return empty counts, which are also kept for each category."""
        rules = {
            name: reasons for item in self.configs.values() for name, reasons in reasons_of_rules(item.filter).items()
        }
        return Funnel(self.config.run.patience, rules, build_spending(self.config), self.quotas)

    def _composers(self, reader: TokenCounter) -> dict[str, CategoryComposer]:
        return {name: self._composer(name, reader) for name in self.categories}

    def _tasks(self, name: str) -> int:
        """Return the number of tasks that a request of a category asks for."""
        return self.configs[name].category.samples_per_request or self.categories[name].tasks_per_request

    def _composer(self, name: str, reader: TokenCounter) -> CategoryComposer:
        item, config = self.asked[name], self.configs[name]
        shown = item.demonstrations_per_prompt
        synthetic = min(config.prompt.num_prompt_synthetic_instructions, shown - 1)
        mix = DemonstrationMix(shown, synthetic, config.prompt.max_demonstration_depth, config.prompt.steer)
        budget = prompt_budget(config, reader)
        if "max_new_tokens" in item.options and "max_new_tokens" not in self.over:
            budget = replace(budget, option="the category file's max_new_tokens")
        system, alone = config.prompt.system_prompt, item.answered_alone != NONE
        tasks, count = self._tasks(name), token_count(reader, system)
        parts = (mix, config.run.seed, item.demonstrations, count, budget)
        steps = {1: PromptComposer("", item.first_format, *parts)}
        if item.answered_alone == ALL:
            steps = {1: TaskListComposer("", item.format, *parts, number=tasks)}
        elif item.steps == 2:
            steps[2] = PromptComposer("", item.format, *parts)
        sampling = build_sampling(config) if any(key in item.options for key in SAMPLING) else None
        # Without its own limit of new tokens, an answer has more room than the prompt of the first step.
        shown_alone = item.demonstrations if alone and config.sampling.answer_max_new_tokens else ()
        answering = build_answering(config, shown_alone, reader)
        answering = replace(answering, sampling=answering.sampling or sampling)
        return CategoryComposer(
            item, steps, tasks, sampling, stop_words(config), system, answering, config.sampling.constrain
        )  # fmt: skip


def _check_options(config: Config) -> None:
    """Raise `UserError` for options that cannot be used with --categories."""
    given = {"--seed_tasks_path": config.run.seed_tasks_path, "--prompt_path": config.prompt.prompt_path}
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"{name} does not go with --categories, whose files hold prompt and demonstrations; leave one of them out"
            )
    if config.prompt.recipe == "magpie":
        raise UserError(
            "--recipe magpie does not go with --categories: the model writes user messages without reading a category's "
            "prompt; use --recipe chat or few_shot"
        )
    if config.sampling.num_return_sequences != 1:
        raise UserError(
            "--num_return_sequences does not go with --categories: every request has its own category and topic; leave it out"
        )


def _own_config(config: Config, category: Category, path: Path, over: Collection[str]) -> Config:
    """Return the run's options with a category's own, except those in `over`. Raises `UserError` for a wrong value."""
    # The validators of a category check its outputs instead.
    config = replace(config, filter=replace(config.filter, check_outputs=False))
    declared = declarations(GROUPS)
    values = {
        key: convert(declared[key], raw, f"category file {path}: {key}", path.parent)
        for key, raw in category.options.items()
    }
    parts = {
        part.name: replace(getattr(config, part.name), **own)
        for part in fields(config)
        if (
            own := {key: values[key] for key in values if key not in over and hasattr(getattr(config, part.name), key)}
        )
    }
    return replace(config, **parts)
