"""A run that asks for topics: a numbered list goes on, its items are read, and what is new is kept."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from self_instruct.engines.base import PromptReader, Request
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.assembly import (
    build_bounds,
    build_embeddings,
    build_origin,
    build_sampling,
    build_spending,
    prompt_budget,
)
from self_instruct.generation.categories.topic_lists import listed
from self_instruct.generation.config import Config
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Judge, unanswered
from self_instruct.generation.plan import Plan
from self_instruct.generation.pool import RecordPool
from self_instruct.generation.recipe import Planning
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.records import Drop, Prompt, Record, record_id
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.writer import Writer

_EXAMPLES = (
    "the first snow of the year", "how a lock works", "markets in port towns", "learning to whistle", "volcanic islands",
    "letters never sent", "saving water at home", "stage fright", "bridges of rope", "what dogs can smell",
    "the history of zero", "repairing old radios",
)  # fmt: skip
_SEEDS = [Record(f"topic_{at}", text, "", "") for at, text in enumerate(_EXAMPLES, start=1)]
_MIX = DemonstrationMix(6, 3, 1_000_000)


@dataclass(frozen=True)
class TopicPlan:
    """Each request goes on with a list that begins with six topics, up to three of them found before."""

    curator: "TopicCurator"
    seed: int
    horizon: int
    header: str
    number: int

    def ask(self, index: int) -> tuple[Prompt, Request]:
        """The prompt of a request, and the request."""
        pool = self.curator.pool.before(index - self.horizon + 1)
        prompt = prompt_of(index, self.header, _MIX.choose(self.seed, index, _SEEDS, pool))
        stop = (f"\n{prompt.number + self.number}.",)
        return prompt, Request(index, prompt.text, prompt.opening, stop, f"topics:{self.seed}:{index}")

    def ended(self) -> str | None:
        """There is always more to ask."""
        return None


def prompt_of(index: int, header: str, shown: list[Record]) -> Prompt:
    """A list with the topics shown, open at the next number."""
    lines = "".join(f"{at}. {record.instruction}\n" for at, record in enumerate(shown, start=1))
    return Prompt(index, f"{header}\n\n{lines}", f"{len(shown) + 1}. ", len(shown) + 1, tuple(shown))


@dataclass
class TopicCurator:
    """Keeps the topics that are new, and names none of what is to be avoided."""

    novelty: Novelty
    bounds: Bounds
    avoided: re.Pattern[str] | None
    pool: RecordPool = field(default_factory=RecordPool)

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """One verdict for each item of a list."""
        if entry.finish_reason == "error":
            return [unanswered(entry)]
        items = listed(f"{entry.number}. {entry.text}", entry.finish_reason == "length")
        drafts = [
            (Record(record_id(entry.request, at), topic or "", "", "", entry.depth), item, topic)
            for at, (item, topic) in enumerate(items, start=1)
        ]
        texts = {record.id: record.instruction for record, _, topic in drafts if topic and not self._avoids(topic)}
        vectors = self.novelty.vectors(texts, self.bounds)
        verdicts: list[Verdict] = []
        for record, item, topic in drafts:
            kept = sum(verdict.drop is None for verdict in verdicts)
            if topic is None:
                verdict = Verdict(record, Drop("parse", "no_topic"), item)
            elif room is not None and kept >= room:
                verdict = Verdict(record, Drop("limit", "target_reached"))
            elif record.id not in texts:
                verdict = Verdict(record, Drop("filter", "avoided", self._avoids(topic) or ""))
            else:
                found = self.novelty.take(record.id, topic, vectors.get(record.id), self.bounds)
                verdict = Verdict(record, found.drop, rouge=found.rouge, embedding=found.embedding)
            if verdict.drop is None:
                self.pool.add(record, entry.request)
            verdicts.append(verdict)
        return verdicts or [Verdict(Record(record_id(entry.request, 1), "", "", ""), Drop("parse", "empty_block"), "")]

    def unfinished(self) -> list[Verdict]:
        """Nothing is left undecided."""
        return []

    def _avoids(self, topic: str) -> str | None:
        found = self.avoided.search(topic) if self.avoided else None
        return found.group() if found else None


@dataclass(frozen=True)
class TopicRecipe:
    """What a run for topics is made from: so many a request, and what is to be avoided, with commas between."""

    config: Config
    number: int
    avoidance: str

    @property
    def seeds(self) -> list[Record]:
        """The examples that the first lists begin with."""
        return _SEEDS

    @property
    def header(self) -> str:
        """What the model reads first."""
        avoided = f"\nLeave out: {', '.join(self._avoided)}." if self._avoided else ""
        return (
            f"A numbered list of {self.number + 6} topics that people talk, read and ask about. They come from all walks of "
            f"life: nature, work, science, history, the arts, the household, the street. No two are alike.{avoided}"
        )

    @property
    def _avoided(self) -> list[str]:
        return [part.strip() for part in self.avoidance.split(",") if part.strip()]

    def described(self) -> dict[str, Any]:
        """The header; the examples count as seeds."""
        return {
            "header": self.header,
            "seed_tasks_sha256": hashlib.sha256("\n".join(_EXAMPLES).encode("utf-8")).hexdigest(),
        }

    def check(self) -> None:
        """Raises `UserError` for a temperature that is too low."""
        build_sampling(self.config)

    def first_prompts(self, reader: PromptReader) -> list[tuple[str, Prompt]]:
        """The first prompt."""
        shown = _MIX.choose(self.config.run.seed, 0, _SEEDS, [])
        return [("the first prompt", prompt_of(0, self.header, shown))]

    def judge(self, *, keeps_vectors: bool = False, limited: bool = True) -> TopicCurator:
        """What keeps new topics."""
        options = self.config.novelty
        embeddings = build_embeddings(self.config, options.embedding_threshold is not None, keeps_vectors)
        novelty = Novelty(
            [(seed.id, seed.instruction) for seed in _SEEDS],
            embeddings,
            options.rouge_tokenizer,
            options.embedding_reference,
        )
        words = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in self._avoided)
        avoided = re.compile(words, re.IGNORECASE) if words else None
        return TopicCurator(novelty, build_bounds(self.config), avoided)

    def planning(self, reader: PromptReader) -> Planning:
        """The plan. Raises `UserError` if a list does not fit the model."""
        longest = prompt_of(
            0, self.header, [*_SEEDS[:3], *(replace(_SEEDS[0], instruction="word " * 12) for _ in range(3))]
        )
        needed, budget = reader.prompt_tokens(longest.text, longest.opening), prompt_budget(self.config, reader)
        if needed > budget:
            raise UserError(
                f"a prompt for topics needs up to {needed} tokens, but only {budget} are left beside --max_new_tokens; lower "
                "that, or --topics_per_request"
            )

        def plan(judge: Judge, earlier: Mapping[int, Entry]) -> Plan:
            assert isinstance(judge, TopicCurator), "a recipe's plan is for its own judge"
            return TopicPlan(judge, self.config.run.seed, self.config.prompt.horizon or 1, self.header, self.number)

        return plan

    def writer(self, folder: Path, model_revision: str) -> Writer:
        """The files of the run."""
        return Writer(folder, build_origin(self.config, INSTRUCTION_OUTPUT, model_revision))

    def funnel(self, *, limited: bool = True) -> Funnel:
        """The counts."""
        return Funnel(self.config.run.patience, spending=build_spending(self.config))

    @staticmethod
    def told(folder: Path, funnel: Funnel, pool: Sequence[Record], stopped: str, *_: Any) -> str:
        """Why it ended, and what became of the items."""
        return f"\nStopped: {stopped.replace('records', 'topics')}.\n\n{funnel.table()}\n"
