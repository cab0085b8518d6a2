"""Compute the tables and examples of a report: key figures, categories and sources, and rejected candidates."""

import statistics
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from self_instruct.novelty import diversity
from self_instruct.novelty.verb_noun import VerbNoun
from self_instruct.report.analysis import Analysis
from self_instruct.report.inputs import Dropped, ReportInput, Row
from self_instruct.report.sections import share

_EXAMPLES = 5  # of each reason
_ROWS = 40  # groups of a table
_PAIRS = 12
_DIVERSITY = (
    ("distinct_2", "distinct-2", "distinct pairs of adjacent words, as a share of all pairs"),
    ("distinct_3", "distinct-3", "distinct sequences of three words, as a share of all"),
    (
        "commonest_openings",
        "commonest openings",
        f"share of records that begin with one of the {diversity.OPENINGS} most frequent pairs of first words",
    ),
    ("nearest_rouge_l", "ROUGE-L with the nearest", "F1 with the most similar other record, mean over all records"),
    ("verb_object_entropy", "verb-object entropy", "in bits; one more bit means twice as many equally frequent pairs"),
)
_FORMATS = {"nearest_rouge_l": "{:.2f}".format, "verb_object_entropy": "{:.1f}".format}  # other measures are shares


class GroupTable(NamedTuple):
    """The largest groups of input number `input`: name, records, share, median words of instruction and output."""

    by: str
    input: int
    groups: list[tuple[str, int, float, float, float]]
    more: int


class Rejections(NamedTuple):
    """The candidates of input number `input` that one reason dropped; examples include the text of the neighbour, if known."""

    input: int
    stage: str
    reason: str
    number: int
    examples: list[tuple[Dropped, str | None]]


class DiversityTable(NamedTuple):
    """Measures of the first `size` records of each input. A row has a name, a description, and a value for each input."""

    size: int
    rows: list[tuple[str, str, list[str]]]


def facts_of(analysis: Analysis) -> list[list[tuple[str, str]]]:
    """Return the key figures of each input, as names and values."""
    found = []
    for source, near, pairs in zip(analysis.inputs, analysis.neighbours, analysis.pairs, strict=True):
        facts = [("records", f"{len(source.rows):,}")]
        if source.dropped:
            facts.append((f"yield, of {source.first}", share(len(source.rows) / source.funnel[0][1])))
        facts += source.facts
        if not source.rows:
            found.append(facts)
            continue
        facts.append(("words per instruction (median)", f"{_median_words(source.rows, 'instruction'):,.0f}"))
        if scores := [item.score for item in near.words if item]:
            facts.append(("ROUGE-L with the nearest (median)", f"{statistics.median(scores):.2f}"))
        facts.append(("verb-object pairs", f"{len({pair for pair in pairs if pair.noun}):,}"))
        found.append(facts)
    return found


def common_pairs(analysis: Analysis) -> list[tuple[VerbNoun, int, float]]:
    """Return the most frequent verb-object pairs with their counts and shares, for a report of one input."""
    if len(analysis.inputs) > 1:
        return []
    counts = Counter(pair for pair in analysis.pairs[0] if pair.noun)
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PAIRS]
    return [(pair, count, count / len(analysis.pairs[0])) for pair, count in common]


def diversity_of(analysis: Analysis) -> DiversityTable | None:
    """Return the diversity of the same number of records of each input, or None if an input has too few."""
    size = diversity.fixed_size(min(len(source.rows) for source in analysis.inputs))
    if not size:
        return None
    words = [diversity.by_words([row.record.instruction for row in source.rows[:size]]) for source in analysis.inputs]
    found = [
        (name, about, [_FORMATS.get(key, share)(values[key]) for values in words]) for key, name, about in _DIVERSITY
    ]
    if analysis.vectors is not None:
        scores = [f"{diversity.vendi_score(vectors[:size]):.1f}" for vectors in analysis.vectors]
        found.append(("Vendi score", "from embeddings: as diverse as this many unrelated texts", scores))
        sums = [f"{diversity.novel_sum(vectors[:size], analysis.reference):.3f}" for vectors in analysis.vectors]
        found.append(
            ("NovelSum", "from embeddings: the mean distance from other records, of which near ones count most", sums)
        )
        if analysis.reference is not None:
            shares = [diversity.coverage(vectors[:size], analysis.reference) for vectors in analysis.vectors]
            shown = ["too few reference records" if part is None else share(part) for part in shares]
            found.append(
                ("coverage", "share of the reference's tasks that have a record among their neighbours", shown)
            )
    return DiversityTable(size, found)


def groups(analysis: Analysis) -> list[GroupTable]:
    """Return tables by category and by source, where records state them."""
    looks: list[tuple[str, Callable[[Row], str | None]]] = [
        ("category", lambda row: row.category),
        ("source", lambda row: row.origin),
    ]
    return [
        _group_table(source, at, by, look)
        for by, look in looks
        for at, source in enumerate(analysis.inputs)
        if any(look(row) for row in source.rows)
    ]


def _group_table(source: ReportInput, at: int, by: str, look: Callable[[Row], str | None]) -> GroupTable:
    members: dict[str, list[Row]] = {}
    for row in source.rows:
        members.setdefault(look(row) or "", []).append(row)
    order = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    largest = [
        (
            name,
            len(rows),
            len(rows) / len(source.rows),
            _median_words(rows, "instruction"),
            _median_words(rows, "output"),
        )
        for name, rows in order[:_ROWS]
    ]
    return GroupTable(by, at, largest, max(0, len(order) - _ROWS))


def _median_words(rows: list[Row], name: str) -> float:
    return statistics.median(len(getattr(row.record, name).split()) for row in rows)


def rejected(analysis: Analysis) -> list[Rejections]:
    """Return examples of dropped candidates, by input and reason."""
    found = []
    for at, source in enumerate(analysis.inputs):
        texts = {row.record.id: row.record.task for row in source.rows} | dict(source.others)
        by_reason: dict[tuple[str, str], list[Dropped]] = {}
        for item in source.dropped:
            by_reason.setdefault((item.stage, item.reason), []).append(item)
        for (stage, reason), number in Counter(source.drops).most_common():
            items = by_reason[stage, reason]
            # Evenly over the run, since its start and end differ.
            chosen = items[:: max(1, len(items) // _EXAMPLES)][:_EXAMPLES]
            examples = [(item, texts.get(item.nearest.id) if item.nearest else None) for item in chosen]
            found.append(Rejections(at, stage, reason, number, examples))
    return found
