"""What a run is made from, checked before anything is loaded: seed tasks and a prompt, or categories (mixture.py).

A recipe puts together what asks, what judges and what is written of it, so that a launch, a dry run and a refilter need not
know which it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from self_instruct.engines.base import PromptReader
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
from self_instruct.generation.judging import Curator, Judge
from self_instruct.generation.plan import Plan, SeedPlan, numbered_stop
from self_instruct.generation.summary import summarise
from self_instruct.records import Prompt, Record
from self_instruct.rules.build import reasons_of_rules
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Entry
from self_instruct.runs.writer import Writer
from self_instruct.seeds import fingerprint, load_seeds

Planning = Callable[[Judge, Mapping[int, Entry]], Plan]


class Recipe(Protocol):
    """The material of a run, of which all parts are made."""

    @property
    def seeds(self) -> list[Record]:
        """The tasks written by people that it begins with."""

    def described(self) -> dict[str, Any]:
        """What run.yaml says of it: the header, the hash of the seeds, and of categories what they are."""

    def check(self) -> None:
        """Raises `UserError` for what can be seen to be wrong without a model."""

    def first_prompts(self, reader: PromptReader) -> list[tuple[str, Prompt]]:
        """What the model would read first, each with a word on it."""

    def judge(self, *, keeps_vectors: bool = False, limited: bool = True) -> Judge:
        """What decides on candidates; without limit for those who judge again. Loads the embedding model if it is asked for."""

    def planning(self, reader: PromptReader) -> Planning:
        """What makes the plan of a judge and the entries of its journal. Raises `UserError` if no prompt fits the model."""

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """What writes the dataset."""

    def funnel(self, *, limited: bool = True) -> Funnel:
        """What counts."""

    @property
    def told(self) -> Callable[..., str]:
        """What gives the text that a person reads at the end, from the arguments of `summarise`."""


@dataclass(frozen=True)
class SeedRecipe:
    """A header and seed tasks."""

    told = staticmethod(summarise)

    config: Config
    format: RecordFormat
    header: str
    seeds: list[Record]

    @classmethod
    def of(cls, config: Config, format: RecordFormat, prompt_path: Path) -> "SeedRecipe":
        """What the options name. Raises `UserError` for a file that is missing or holds no seeds."""
        if not config.run.seed_tasks_path:
            raise UserError("--seed_tasks_path is missing; give a JSONL file of seed tasks, as seeds/code.jsonl")
        header = read_header(Path(config.prompt.prompt_path or prompt_path))
        return cls(config, format, header, load_seeds(Path(config.run.seed_tasks_path)))

    def described(self) -> dict[str, Any]:
        """Header and hash of the seed file."""
        return {"header": self.header, "seed_tasks_sha256": fingerprint(Path(self.config.run.seed_tasks_path or ""))}

    def check(self) -> None:
        """Raises `UserError` if there are not enough seeds, or a stop word is empty."""
        build_mix(self.config, self.seeds)
        stop_words(self.config)

    def first_prompts(self, reader: PromptReader) -> list[tuple[str, Prompt]]:
        """The first prompt."""
        prompt = build_composer(self.config, self.format, self.header, self.seeds, reader).compose(0, [])
        shown = f"the first prompt: {len(prompt.demonstrations)} of {len(self.seeds)} seed tasks"
        return [(shown, prompt)]

    def judge(self, *, keeps_vectors: bool = False, limited: bool = True) -> Curator:
        """The curator."""
        return build_curator(self.config, self.format, self.header, self.seeds, keeps_vectors=keeps_vectors)

    def planning(self, reader: PromptReader) -> Planning:
        """The plan of a run from seed tasks, whose prompts are checked to fit the model."""
        composer = build_composer(self.config, self.format, self.header, self.seeds, reader)
        prompt, run = self.config.prompt, self.config.run
        stop = numbered_stop(prompt.max_tasks_per_request, stop_words(self.config))

        def plan(judge: Judge, earlier: Mapping[int, Entry]) -> Plan:
            assert isinstance(judge, Curator), "a recipe's plan is for its own judge"
            sequences = self.config.sampling.num_return_sequences
            return SeedPlan(composer, judge, run.seed, prompt.horizon or 1, stop, sequences)

        return plan

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """The files of the run."""
        return Writer(folder, build_origin(self.config, self.format, model_revision))

    def funnel(self, *, limited: bool = True) -> Funnel:
        """The counts."""
        return Funnel(self.config.run.patience, reasons_of_rules(self.config.filter), build_spending(self.config))
