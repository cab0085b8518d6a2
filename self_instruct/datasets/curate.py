"""The steps of a curation: read, filter, search, decide, write; or of a shard's share in it: read, filter, search.

Every call reads and filters all files, which takes little; a shard searches and encodes its share only, which takes long.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from self_instruct.datasets.contamination import ContaminationIndex
from self_instruct.datasets.curate_files import Counts, open_outputs, write_curated
from self_instruct.datasets.decontaminate import STAGE, contaminated
from self_instruct.datasets.instruction_file import InstructionFile, Task, read_files
from self_instruct.datasets.reading import Source
from self_instruct.errors import UserError
from self_instruct.novelty.embedding import Encoder, LateEncoder, identity_of
from self_instruct.novelty.offline import KnownPairs, decide, keep_first, similar_pairs
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.novelty.pair_files import fingerprint, pairs_bytes, read_pairs
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.together import Outcome, SearchedWords, keep_new
from self_instruct.novelty.vector_cache import CachedEncoder, encode_share
from self_instruct.records import Drop, Nearest
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import about_tasks, first_objection
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import OutputPaths

_LINE_EVERY = 15.0
_BATCH = 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a call is to do: `shard` of `shards` searches only; without a shard it decides, from `shards` if there are any.
    What is in `benchmarks` is dropped. `uniform` output has every line as we write it, with provenance. Messages name the
    inputs by `option`. The report tells filters, novelty and `more` options.
    """

    inputs: list[Source]
    places: OutputPaths
    filter: FilterOptions
    novelty: NoveltyOptions
    shards: int | None = None
    shard: int | None = None
    benchmarks: ContaminationIndex | None = None
    uniform: bool = False
    option: str = "--input_path"
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> float:
        """The highest ROUGE-L F1 that a kept record may have."""
        return highest_allowed(self.novelty.rouge_threshold, self.novelty.rouge_rule)

    def share(self, shard: int | None) -> str:
        """What names the files of a shard."""
        return f".{shard}-of-{self.shards}" if shard is not None else ""


@dataclass(frozen=True)
class Material:
    """The files as read, the tasks that pass the filters, and what dropped the others, by place; with the evidence."""

    files: list[InstructionFile]
    passed: list[Task]
    drops: dict[str, Drop]
    evidence: dict[str, dict[str, Any]]

    @property
    def texts(self) -> list[str]:
        """What is compared."""
        return [task.record.task for task in self.passed]


def curate(plan: Plan) -> tuple[Counts, bool | None]:
    """Decides and writes. Returns the counts, and whether the embedding model was needed; None where none was asked for."""
    with ExitStack() as stack:
        outputs = open_outputs(plan.places, stack)
        material = _prepared(plan)
        pairs = _merged(plan, material.texts) if plan.shards else None
        encoder = _Vectors(plan) if plan.novelty.embedding_threshold is not None else None
        outcomes = _outcomes(plan, material.texts, pairs, encoder)
        passed, drops = material.passed, dict(material.drops)
        for task, outcome in zip(passed, outcomes, strict=True):
            if outcome.reason is not None and outcome.nearest is not None:
                nearest = Nearest(passed[outcome.nearest.position].record.id, outcome.nearest.score)
                drops[task.record.id] = Drop("novelty", outcome.reason, nearest=nearest)
        counts = Counts(reasons_of_rules(plan.filter))
        options = {**plan.more, **asdict(plan.filter), **asdict(plan.novelty)}
        write_curated(material.files, drops, material.evidence, counts, options, outputs)
    if encoder is not None:
        encoder.tidy()
    return counts, encoder.loaded if encoder is not None else None


def search(plan: Plan) -> str:
    """Finds the pairs of a shard and encodes its share. Returns what there is to say of it."""
    path = plan.places.pairs(plan.share(plan.shard))
    with closing(NewFile(path)) as file:
        material, shard, shards = _prepared(plan), plan.shard or 0, plan.shards or 1
        texts, options = material.texts, plan.novelty
        if options.embedding_threshold is not None:  # before the pairs, which tell that the shard is whole
            encode_share(_Vectors(plan).encoder, texts, shard, shards, _told_at_times())
        try:
            number = len(read_pairs(path, fingerprint(texts, options.rouge_tokenizer), plan.limit))
        except (UserError, OSError):
            pairs = similar_pairs(
                texts, options.rouge_threshold, options.rouge_rule, options.rouge_tokenizer, shard=shard, shards=shards
            )
            number = len(pairs)
            file.write(pairs_bytes(pairs, fingerprint(texts, options.rouge_tokenizer), plan.limit))
            file.publish()
    unreadable = sum(not isinstance(line, Task) for read in material.files for line in read.lines)
    told = f" {unreadable:,} lines could not be read." if unreadable else ""
    return (
        f"Shard {shard} of {shards}: {number:,} pairs among {len(texts):,} records are too near, as {path.name} says.{told}\n"
        f"When all shards are there, the same command with --shards {shards} and no --shard_index decides."
    )


def _prepared(plan: Plan) -> Material:
    """Reads and filters."""
    files, filters = (
        read_files(plan.inputs, plan.option, uniform=plan.uniform),
        build_rules(plan.filter, "", plan.novelty.rouge_tokenizer),
    )
    passed, drops = list[Task](), dict[str, Drop]()
    for file in files:
        # Where a file holds tasks alone, their outputs cannot be at fault.
        asked = filters if file.has_output else about_tasks(filters)
        for line in file.lines:
            if not isinstance(line, Task):
                continue
            objection = first_objection(asked, line.record)
            if objection:
                reason, _, detail = objection.partition(": ")
                drops[line.record.id] = Drop("filter", reason, detail)
            else:
                passed.append(line)
    evidence = _evidence(plan.benchmarks, passed) if plan.benchmarks is not None else {}
    drops |= {place: Drop(STAGE, found["reason"], found["detail"]) for place, found in evidence.items()}
    return Material(files, [task for task in passed if task.record.id not in evidence], drops, evidence)


def _evidence(index: ContaminationIndex, tasks: list[Task]) -> dict[str, dict[str, Any]]:
    """What of tasks is in a benchmark, by place."""
    evidence = dict[str, dict[str, Any]]()
    for begin in range(0, len(tasks), _BATCH):
        batch = tasks[begin : begin + _BATCH]
        parts = [
            [
                ("instruction", task.record.task),
                ("output", task.record.output),
                *(("turn", text) for text in task.further),
            ]
            for task in batch
        ]
        found = zip(batch, contaminated(index, parts), strict=True)
        evidence |= {task.record.id: match for task, match in found if match is not None}
    return evidence


def _outcomes(plan: Plan, texts: list[str], pairs: np.ndarray | None, encoder: "_Vectors | None") -> list[Outcome]:
    options = plan.novelty
    words = (options.rouge_threshold, options.rouge_rule, options.rouge_tokenizer)
    if encoder is None or options.embedding_threshold is None:
        decisions = keep_first(texts, *words) if pairs is None else decide(len(texts), pairs)
        return [Outcome(None if kept else "rouge_l", nearest) for kept, nearest in decisions]
    found = encode_share(encoder.encoder, texts, on_part=_told_at_times())
    vectors = np.stack([found[text] for text in texts]) if texts else np.empty((0, 0), np.float32)
    near = SearchedWords(texts, *words) if pairs is None else KnownPairs(len(texts), pairs)
    return keep_new(near, vectors, options.embedding_threshold, options.embedding_reference)


def _merged(plan: Plan, texts: list[str]) -> np.ndarray:
    shards = range(plan.shards or 0)
    paths = [plan.places.pairs(plan.share(shard)) for shard in shards]
    missing = [str(shard) for shard, path in zip(shards, paths, strict=True) if not path.is_file()]
    if missing:
        raise UserError(
            f"--shards {plan.shards}: the pairs of shards {', '.join(missing)} are not beside {plan.places.kept} yet; run each "
            "by --shard_index, and decide when all are there"
        )
    stated = fingerprint(texts, plan.novelty.rouge_tokenizer)
    return np.concatenate([read_pairs(path, stated, plan.limit) for path in paths])


def _told_at_times() -> Callable[[int, int], None]:
    """What logs now and then how many texts of how many have their vectors."""
    said = time.monotonic()

    def on_part(done: int, number: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _LINE_EVERY:
            said = time.monotonic()
            _log.warning("%d of %d different texts have their vectors", done, number)

    return on_part


class _Vectors:
    """Where vectors come from: those that this or any other call has left beside the output, and the model for the others."""

    def __init__(self, plan: Plan) -> None:
        name = plan.novelty.embedding_model_name_or_path
        self._late = LateEncoder(name)
        # What was not fetched before has no version until it is loaded.
        identity = identity_of(name) or self._late.model.identity
        own = plan.places.vectors(plan.share(plan.shard))
        self._others = [path for path in plan.places.vectors_there() if path != own]
        self._decides = plan.shard is None
        self.encoder: Encoder = self._late
        if identity is None:
            _log.warning("%s: which version of the model this is cannot be told; its vectors are not kept", name)
            return
        for path in self._others:
            self.encoder = CachedEncoder(self.encoder, identity, path, writes=False)
        self.encoder = CachedEncoder(self.encoder, identity, own, writes=True)

    @property
    def loaded(self) -> bool:
        """Whether the model was needed."""
        return self._late.loaded

    def tidy(self) -> None:
        """Removes the vectors of shards, which the call that decides has taken over."""
        if self._decides and isinstance(self.encoder, CachedEncoder):
            for path in self._others:
                path.unlink(missing_ok=True)
