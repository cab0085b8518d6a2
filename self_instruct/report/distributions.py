"""Figures of how the records are distributed: lengths in words, and similarity to the nearest neighbour."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from self_instruct.report import charts
from self_instruct.report.figures import Figure, Known, Section
from self_instruct.report.sources import Row

_WHOLE = {"grid": False, "tickCount": 6, "tickMinStep": 1}


def lengths_section(known: Known) -> Section:
    """Words of instructions, inputs and outputs."""
    section = Section("lengths", "How long they are")
    for name in ("instruction", "input", "output"):
        counts = [np.array([_words(row, name) for row in source.rows]) for source in known.sources]
        with_any = [column[column > 0] for column in counts]
        if not any(len(column) for column in with_any):
            section.notes.append(f"No record has an {name}.")
            continue
        together = np.concatenate(with_any)
        # The longest hundredth would press all others against the axis.
        end = max(5.0, float(np.percentile(together, 99)))
        width = max(1, round(end / charts.BARS))
        edges = np.arange(0.5, end + width, width)
        values = [
            value
            for source, column in zip(known.sources, with_any, strict=True)
            for value in _bars(source.name, column, edges)
        ]
        median, beyond = float(np.median(together)), int((together > edges[-1]).sum())
        caption = f"Words. The middle one has {median:,.0f}, the longest {together.max():,}" + (
            f"; {beyond:,} are beyond the axis." if beyond else "."
        )
        if name == "input":
            caption += f" {len(together):,} of {sum(map(len, counts)):,} records have an input."
        title = f"Words of the {name}"
        spec = charts.histogram(values, f"words of the {name}", known.names, x={"axis": _WHOLE})
        section.figures.append(Figure(f"length_{name}", title, caption, spec))
    return section


def _words(row: Row, name: str) -> int:
    return len(getattr(row.record, name).split())


def novelty_section(known: Known) -> Section:
    """Similarity to the nearest neighbour by words and, where there are vectors, by meaning."""
    section = Section("novelty", "How new they are")
    words = [[near.score for near in found.words if near] for found in known.neighbours]
    section.figures += _similarities(
        known,
        "rouge_l",
        "Nearest neighbour by words",
        "ROUGE-L F1 with the nearest earlier record or seed.",
        words,
        "rouge",
    )
    stated = [[row.cosine for row in source.rows if row.cosine is not None] for source in known.sources]
    found = [[near.score for near in item.meaning if near] for item in known.neighbours]
    meaning = [said or seen for said, seen in zip(stated, found, strict=True)]
    if any(meaning):
        caption = "Cosine of the embeddings with the nearest earlier record."
        section.figures += _similarities(
            known, "embedding", "Nearest neighbour by meaning", caption, meaning, "embedding"
        )
    else:
        section.notes.append(f"Similarity by meaning: {known.no_vectors}")
    return section


def _similarities(
    known: Known, reason: str, title: str, caption: str, scores: Sequence[Sequence[float]], threshold: str
) -> list[Figure]:
    """The histogram of scores; for one run with what was dropped for its score."""
    if not any(len(column) for column in scores):
        return []
    low = min(0.0, *(min(column, default=0.0) for column in scores))
    edges = np.linspace(np.floor(low * 20) / 20, 1.0, charts.BARS + 1)
    values, colour = [], None
    for source, column in zip(known.sources, scores, strict=True):
        near = [item.nearest.score for item in source.dropped if item.reason == reason and item.nearest]
        both = len(known.sources) == 1 and len(near) > 0
        total = len(column) + len(near) if both else None
        values += _bars(source.name, np.array(column).clip(max=1.0), edges, total, group="kept")
        if both:
            values += _bars(source.name, np.array(near).clip(max=1.0), edges, total, group="dropped for it")
            scale = {
                "domain": ["kept", "dropped for it"],
                "range": [charts.theme()["runs"][0], charts.theme()["other"]],
            }
            colour = {"field": "group", "type": "nominal", "scale": scale, "legend": {"title": None}}
    limits = {source.name: source.thresholds[threshold] for source in known.sources if threshold in source.thresholds}
    if limits:
        caption += " The dashed line is the threshold."
    spec = charts.histogram(
        values, "similarity", known.names, x={"scale": {"domain": [float(edges[0]), 1]}}, limits=limits, colour=colour
    )
    return [Figure(f"similarity_{reason}", title, caption, spec)]


def _bars(
    run: str, numbers: np.ndarray, edges: np.ndarray, total: int | None = None, **more: Any
) -> list[dict[str, Any]]:
    """The bars of a histogram that are not empty; shares are of all numbers, or of `total`."""
    counts, _ = np.histogram(numbers, edges)
    whole = total or len(numbers) or 1
    return [
        {"run": run, "low": round(float(low), 4), "high": round(float(high), 4), "count": int(n),
         "share": round(n / whole, 5), **more}
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
        if n
    ]  # fmt: skip
