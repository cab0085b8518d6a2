"""Build the sections of a report: their figures, and notes on figures that are missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from self_instruct.report import charts
from self_instruct.report.analysis import Analysis
from self_instruct.report.inputs import ReportInput, Row
from self_instruct.report.projection import project, sample

_WINDOWS = 24  # windows of requests, each with its own yield
_GROUPS = 8  # groups with their own colour on a map
_WHOLE = {"grid": False, "tickCount": 6, "tickMinStep": 1}


@dataclass(frozen=True)
class Figure:
    """A chart with its title and caption. With `points`, each point is a row of the page's table, whose text is its tooltip."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    wide: bool = False
    points: bool = False


@dataclass
class Section:
    """A part of the report: its figures, and notes on missing ones."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def sections(analysis: Analysis, projection: str, map_points: int) -> list[Section]:
    """Return the sections in the order of the page; without vectors, there is no map. Without records, only the funnel and the
    reasons are shown.
    """
    if not any(source.rows for source in analysis.inputs):
        return [funnel_section(analysis), reasons_section(analysis)]
    return [
        funnel_section(analysis),
        lengths_section(analysis),
        novelty_section(analysis),
        Section("diversity", "Diversity"),
        verbs_section(analysis),
        *([map_section(analysis, projection, map_points)] if analysis.vectors is not None else []),
        reasons_section(analysis),
    ]


def share(part: float) -> str:
    """Format a share in percent; a small share is never shown as zero."""
    return "under 0.1%" if 0 < part < 0.0005 else f"{part:.1%}"


def funnel_section(analysis: Analysis) -> Section:
    """Build the funnel and, for runs, the yield and the number of records over the requests."""
    section = Section("funnel", "From blocks written to records kept")
    shown = {stage for source in analysis.inputs for stage in source.stages}
    steps = {source.name: source.funnel_of(shown) for source in analysis.inputs}
    caption = "Candidates left after each stage, with their share of the first."
    section.figures.append(Figure("funnel", "Funnel", caption, charts.funnel_chart(steps), wide=True))
    timed = [source for source in analysis.inputs if source.requests]
    if not timed:
        section.notes.append("Yield over time is shown for runs only: a file does not state the request of a record.")
        return section
    yields = [point for source in timed for point in _windows(source)]
    y = {"field": "yield", "title": "accepted per block written", "axis": {"format": ".0%", "tickCount": 5},
         "scale": {"domain": [0, 1]}}  # fmt: skip
    widths = sorted({_window_width(source) for source in timed})
    window = " or ".join(f"{width:,}" for width in widths) + (" request" if widths == [1] else " requests")
    caption = (
        f"Yield: records accepted / blocks written, in windows of {window}. Blocks beyond the target are not counted."
    )
    section.figures.append(Figure("yield", "Yield over time", caption, charts.line_chart(yields, analysis.names, y)))
    if not any(source.rows for source in timed):
        return section
    grown = [point for source in timed for point in _growth(source)]
    y = {"field": "records", "title": "records accepted so far", "axis": {"format": "~s", "tickCount": 5}}
    caption = (
        "Records accepted up to each request. The line flattens where fewer blocks are kept: the model repeats itself, "
        "the filters drop more, or the target was reached."
    )
    section.figures.append(Figure("growth", "Records over time", caption, charts.line_chart(grown, analysis.names, y)))
    return section


def _window_width(source: ReportInput) -> int:
    """Return the number of requests in a window."""
    return max(1, -(-source.requests // _WINDOWS))


def _windows(source: ReportInput) -> list[dict[str, Any]]:
    """Return the records accepted per block written, in windows of requests; blocks beyond the target are not counted."""
    width = _window_width(source)
    kept = Counter(row.request // width for row in source.rows if row.request is not None)
    written = kept + Counter(
        item.request // width
        for item in source.dropped
        if item.request is not None and item.stage not in ("generation", "limit")  # a failed request wrote no block
    )
    middle = (width - 1) / 2
    return [
        {"run": source.name, "request": window * width + middle, "yield": round(kept[window] / written[window], 4)}
        for window in sorted(written)
    ]


def _growth(source: ReportInput) -> list[dict[str, Any]]:
    """Return the number of records after each of about 200 requests."""
    requests = np.sort([row.request for row in source.rows if row.request is not None])
    asked = np.unique(np.linspace(0, max(0, source.requests - 1), 200).round())
    there = np.searchsorted(requests, asked, side="right")
    return [{"run": source.name, "request": int(at), "records": int(n)} for at, n in zip(asked, there, strict=True)]


def reasons_section(analysis: Analysis) -> Section:
    """Build the chart of reasons and their shares."""
    section = Section("rejected", "Rejected candidates")
    values = []
    for source in analysis.inputs:
        total = len(source.rows) + len(source.dropped)
        for (stage, reason), count in source.drops.items():
            label = f"{count:,}  ({share(count / total)})"
            values.append({"run": source.name, "stage": stage, "reason": reason, "count": count, "share": count / total,
                           "label": label})  # fmt: skip
    if values:
        caption = "Candidates by the reason that dropped them, as a share of all candidates."
        section.figures.append(
            Figure("reasons", "Reasons", caption, charts.reasons_chart(values, analysis.names), wide=True)
        )
    else:
        section.notes.append("Nothing was dropped, or the file of dropped candidates is missing.")
    return section


def lengths_section(analysis: Analysis) -> Section:
    """Build the histograms of words per instruction, input and output."""
    section = Section("lengths", "Length")
    for name in ("instruction", "input", "output"):
        counts = [np.array([_words(row, name) for row in source.rows]) for source in analysis.inputs]
        with_any = [column[column > 0] for column in counts]
        if not any(len(column) for column in with_any):
            section.notes.append(f"No record has an {name}.")
            continue
        together = np.concatenate(with_any)
        # The axis ends at the 99th percentile: a few very long texts would compress the rest.
        end = max(5.0, float(np.percentile(together, 99)))
        width = max(1, round(end / charts.BARS))
        edges = np.arange(0.5, end + width, width)
        values = [
            value
            for source, column in zip(analysis.inputs, with_any, strict=True)
            for value in _bars(source.name, column, edges)
        ]
        beyond = int((together > edges[-1]).sum())
        caption = f"The line is the median; the longest has {together.max():,} words" + (
            f"; {beyond:,} records are beyond the axis." if beyond else "."
        )
        markers = [
            charts.Marker(
                source.name,
                float(np.median(column)),
                f"median {np.median(column):,.0f} words",
            )
            for source, column in zip(analysis.inputs, with_any, strict=True)
            if len(column)
        ]
        if name == "input":
            caption += f" {len(together):,} of {sum(map(len, counts)):,} records have an input."
        title = f"Words per {name}"
        spec = charts.histogram(values, f"words per {name}", analysis.names, x={"axis": _WHOLE}, markers=markers)
        section.figures.append(Figure(f"length_{name}", title, caption, spec))
    return section


def _words(row: Row, name: str) -> int:
    return len(getattr(row.record, name).split())


def novelty_section(analysis: Analysis) -> Section:
    """Build the histograms of similarity with the nearest neighbour by words and, with vectors, by meaning."""
    section = Section("novelty", "Novelty")
    words = [[near.score for near in found.words if near] for found in analysis.neighbours]
    caption = "ROUGE-L F1 with the nearest earlier record or seed."
    section.figures += _similarities(analysis, "rouge_l", "Nearest neighbour by words", caption, words, "rouge")
    stated = [[row.cosine for row in source.rows if row.cosine is not None] for source in analysis.inputs]
    found = [[near.score for near in item.meaning if near] for item in analysis.neighbours]
    meaning = [known or computed for known, computed in zip(stated, found, strict=True)]
    if any(meaning):
        caption = "Cosine of the embeddings with the nearest earlier record."
        section.figures += _similarities(
            analysis, "embedding", "Nearest neighbour by meaning", caption, meaning, "embedding"
        )
    else:
        section.notes.append(f"Similarity by meaning: {analysis.no_vectors}")
    return section


def _similarities(
    analysis: Analysis, reason: str, title: str, caption: str, scores: Sequence[Sequence[float]], threshold: str
) -> list[Figure]:
    """Build the histogram of scores; for one run, include the candidates dropped for their score."""
    if not any(len(column) for column in scores):
        return []
    low = min(0.0, *(min(column, default=0.0) for column in scores))
    edges = np.linspace(np.floor(low * 20) / 20, 1.0, charts.BARS + 1)
    values, colour = [], None
    for source, column in zip(analysis.inputs, scores, strict=True):
        near = [item.nearest.score for item in source.dropped if item.reason == reason and item.nearest]
        both = len(analysis.inputs) == 1 and len(near) > 0
        total = len(column) + len(near) if both else None
        values += _bars(source.name, np.array(column).clip(max=1.0), edges, total, group="kept")
        if both:
            values += _bars(source.name, np.array(near).clip(max=1.0), edges, total, group="dropped for similarity")
            scale = {
                "domain": ["kept", "dropped for similarity"],
                "range": [charts.theme()["runs"][0], charts.theme()["other"]],
            }
            colour = {"field": "group", "type": "nominal", "scale": scale, "legend": {"title": None}}
    medians = [
        charts.Marker(source.name, float(np.median(column)), f"median {np.median(column):.2f}")
        for source, column in zip(analysis.inputs, scores, strict=True)
        if len(column)
    ]
    limits = [
        charts.Marker(
            source.name,
            source.thresholds[threshold],
            f"threshold {source.thresholds[threshold]:g}",
            True,
        )
        for source in analysis.inputs
        if threshold in source.thresholds
    ]
    caption += " The solid line is the median of the records kept" + (
        "; the dashed line is the threshold." if limits else "."
    )
    measure = "ROUGE-L F1" if reason == "rouge_l" else "cosine similarity"
    spec = charts.histogram(
        values,
        f"{measure} with the nearest",
        analysis.names,
        x={"scale": {"domain": [float(edges[0]), 1]}},
        markers=[*medians, *limits],
        colour=colour,
    )
    return [Figure(f"similarity_{reason}", title, caption, spec)]


def _bars(
    run: str, numbers: np.ndarray, edges: np.ndarray, total: int | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Return the bars of a histogram that are not empty; shares are of all numbers, or of `total`."""
    counts, _ = np.histogram(numbers, edges)
    whole = total or len(numbers) or 1
    return [
        {"run": run, "low": round(float(low), 4), "high": round(float(high), 4), "count": int(n),
         "share": round(n / whole, 5), **more}
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
        if n
    ]  # fmt: skip


def verbs_section(analysis: Analysis) -> Section:
    """Build a wheel of verbs and objects for each input."""
    section = Section("verbs", "Verbs and objects")
    wheels = [charts.commonest_pairs(pairs) for pairs in analysis.pairs]
    colours = charts.verb_colours(wheels)
    for at, (source, pairs, wheel) in enumerate(zip(analysis.inputs, analysis.pairs, wheels, strict=True)):
        number = len(source.rows)
        both = sum(pair.noun is not None for pair in pairs)
        if not wheel:
            section.notes.append(f"{source.name}: no instruction has an imperative verb with an object.")
            continue
        shown = sum(count for _, nouns in wheel for _, count in nouns)
        caption = (
            f"The {len(wheel)} most frequent verbs (inside), and up to 4 objects of each: {shown / number:.0%} of {number:,} "
            f"records. The rules for English found a verb and an object in {both / number:.0%}. Click one to list its records."
        )
        title = "Verbs and their objects" + (f": {source.name}" if len(analysis.inputs) > 1 else "")
        section.figures.append(Figure(f"verbs_{at + 1}", title, caption, charts.sunburst(wheel, number, colours)))
    return section


def map_section(analysis: Analysis, projection: str, most: int) -> Section:
    """Build a map for each input, all with the same projection, of at most `most` points together."""
    section = Section("map", "Map of the instructions")
    if analysis.vectors is None:
        raise ValueError("a map needs vectors")
    sizes = [len(vectors) for vectors in analysis.vectors]
    chosen = [sample(size, most, size / sum(sizes)) for size in sizes]
    points = project(
        np.concatenate([vectors[at] for vectors, at in zip(analysis.vectors, chosen, strict=True)]), projection
    )
    groups, what = _groups(analysis, chosen)
    begin = 0
    for at, (source, rows) in enumerate(zip(analysis.inputs, chosen, strict=True)):
        values = [
            {"x": round(float(x), 4), "y": round(float(y), 4), "s": at, "i": int(row), "group": groups[begin + place]}
            for place, ((x, y), row) in enumerate(zip(points[begin : begin + len(rows)], rows, strict=True))
        ]
        begin += len(rows)
        shown = (
            f"{len(rows):,} of {sizes[at]:,} records, evenly sampled"
            if len(rows) < sizes[at]
            else f"All {sizes[at]:,} records"
        )
        method = "t-SNE" if projection == "tsne" else "principal components"
        caption = f"{shown}; embeddings by {method}. Drag to move, Shift + wheel to zoom, double-click to reset."
        order = [group for group, _ in Counter(groups).most_common() if group != "other"]
        spec = charts.map_chart(values, [*order, *(["other"] if "other" in groups else [])], what)
        title = "Map of the instructions" + (f": {source.name}" if len(analysis.inputs) > 1 else "")
        section.figures.append(
            Figure(f"map_{at + 1}", title, caption, spec, wide=len(analysis.inputs) == 1, points=True)
        )
    return section


def _groups(analysis: Analysis, chosen: Sequence[np.ndarray]) -> tuple[list[str], str]:
    """Return the group of each chosen row, and its kind: the category if there are any, else the source, else the verb."""
    rows = [source.rows[at] for source, rows in zip(analysis.inputs, chosen, strict=True) for at in rows]
    pairs = [found[at] for found, rows in zip(analysis.pairs, chosen, strict=True) for at in rows]
    looks: Mapping[str, list[str | None]] = {
        "category": [row.category for row in rows],
        "source": [row.origin for row in rows],
        "verb": [pair.verb for pair in pairs],
    }
    what, names = next(((what, names) for what, names in looks.items() if any(names)), ("verb", looks["verb"]))
    common = [name for name, _ in Counter(name for name in names if name).most_common(_GROUPS)]
    return [name if name in common else "other" for name in map(str, names)], what
