"""A run that asks for topics: the model continues a numbered list, and new items are kept."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from self_instruct.engines.base import Request, TokenCounter
from self_instruct.generation.assembly import (
    build_bounds,
    build_novelty,
    build_sampling,
    prompt_budget,
)
from self_instruct.generation.categories.topic_lists import listed
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Check, Curator, Rules
from self_instruct.generation.patterns import described, topic_list_pattern
from self_instruct.generation.plan import Plan
from self_instruct.generation.recipe import Recipe, Session
from self_instruct.generation.summary import Ending, why
from self_instruct.records import Drop, Prompt, Record, record_id
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict

_EXAMPLES = (
    "the first snow of the year", "how a lock works", "markets in port towns", "learning to whistle", "volcanic islands",
    "letters never sent", "saving water at home", "stage fright", "bridges of rope", "what dogs can smell",
    "the history of zero", "repairing old radios",
)  # fmt: skip
_SEEDS = [Record(f"topic_{at}", text, "", "") for at, text in enumerate(_EXAMPLES, start=1)]
_MIX = DemonstrationMix(6, 3, 1_000_000)


@dataclass
class TopicPlan(Plan):
    """Each request continues a list of six topics, up to three of which the model wrote earlier."""

    curator: Curator
    seed: int
    horizon: int
    header: str
    number: int
    constrain: bool = False

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """Return the prompt of a request, and the request."""
        pool = self.curator.pool.before(index - self.horizon + 1)
        prompt = prompt_of(index, self.header, _MIX.choose(self.seed, index, _SEEDS, pool))
        stop = (f"\n{prompt.number + self.number}.",)
        pattern = topic_list_pattern(prompt.number, self.number) if self.constrain else None
        return prompt, Request(
            index, prompt.text, prompt.opening, stop, f"topics:{self.seed}:{index}", pattern=pattern
        )


def prompt_of(index: int, header: str, shown: list[Record]) -> Prompt:
    """Return the prompt of a request: the header and a numbered list of topics, which ends with the next number."""
    lines = "".join(f"{at}. {record.instruction}\n" for at, record in enumerate(shown, start=1))
    return Prompt(index, f"{header}\n\n{lines}", f"{len(shown) + 1}. ", len(shown) + 1, tuple(shown))


def topics_of(entry: Entry) -> list[Verdict]:
    """Return the items of a list as candidates. Items without a topic are dropped, and so is an empty list."""
    found = []
    for at, (item, topic) in enumerate(listed(f"{entry.number}. {entry.answer}", entry.cut), 1):
        record = Record(record_id(entry.request, at), topic or "", "", "", entry.depth)
        found.append(Verdict(record, None) if topic else Verdict(record, Drop("parse", "no_topic"), item))
    return found or [Verdict(Record(record_id(entry.request, 1), "", "", ""), Drop("parse", "empty_block"))]


def avoid(words: Sequence[str]) -> Check:
    """Return a check that drops topics that contain one of these words."""
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words) or r"(?!)", re.IGNORECASE)

    def check(record: Record, variables: Mapping[str, str]) -> Record | Drop:
        found = pattern.search(record.instruction)
        return Drop("filter", "avoided", found.group()) if found else record

    return check


@dataclass(frozen=True)
class TopicRecipe(Recipe):
    """The recipe of a run for topics: `number` topics per request, without the comma-separated subjects in `avoidance`."""

    number: int
    avoidance: str

    @property
    def seeds(self) -> list[Record]:
        """The examples at the beginning of the first lists."""
        return _SEEDS

    @property
    def header(self) -> str:
        """The beginning of the prompt."""
        avoided = f"\nLeave out: {', '.join(self._avoided)}." if self._avoided else ""
        return (
            f"A numbered list of {self.number + 6} topics that people talk, read and ask about. They come from all walks of "
            f"life: nature, work, science, history, the arts, the household, the street. No two are alike.{avoided}"
        )

    @property
    def _avoided(self) -> list[str]:
        return [part.strip() for part in self.avoidance.split(",") if part.strip()]

    def described(self) -> dict[str, Any]:
        """Return the header and the hash of the examples, which count as seeds."""
        return {
            "header": self.header,
            "seed_tasks_sha256": hashlib.sha256("\n".join(_EXAMPLES).encode("utf-8")).hexdigest(),
            **described(self.config),
        }

    def check(self) -> None:
        """Raise `UserError` for a temperature that is too low."""
        build_sampling(self.config)

    def first_prompts(self, reader: TokenCounter) -> list[tuple[str, Prompt]]:
        """Return the first prompt."""
        shown = _MIX.choose(self.config.run.seed, 0, _SEEDS, [])
        return [("the first prompt", prompt_of(0, self.header, shown))]

    def session(self, reader: TokenCounter) -> Session:
        """Return the plan and its curator. Raises `UserError` if a list does not fit the model."""
        longest = prompt_of(
            0, self.header, [*_SEEDS[:3], *(replace(_SEEDS[0], instruction="word " * 12) for _ in range(3))]
        )
        needed = reader.prompt_tokens(longest.text, longest.opening)
        budget = replace(prompt_budget(self.config, reader), remedy="lower --topics_per_request")
        budget.check(needed, "a prompt for topics")
        curator, horizon = self.curator(keeps_vectors=True), self.config.prompt.horizon or 1
        constrain = self.config.sampling.constrain
        return Session(TopicPlan(curator, self.config.run.seed, horizon, self.header, self.number, constrain), curator)

    def curator(self, *, keeps_vectors: bool = False) -> Curator:
        """Return the curator, which drops topics that are not new or contain a subject to avoid."""
        rules = Rules(self.format, topics_of, avoid(self._avoided), build_bounds(self.config))
        by_meaning = self.config.novelty.embedding_threshold is not None
        start = [(seed.id, seed.instruction) for seed in _SEEDS]
        return Curator({None: rules}, build_novelty(self.config, start, by_meaning, keeps_vectors))

    def summary(self, ending: Ending) -> str:
        """Return the reason why the run ended, and the table of its counts."""
        return f"\n{why(ending, 'topics')}\n\n{ending.funnel.table()}\n"
