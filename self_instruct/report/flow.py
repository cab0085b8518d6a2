"""Figures of the way from what was written to what is kept: the funnel, the yield over time, the reasons of drops."""

from collections import Counter
from typing import Any

import numpy as np

from self_instruct.report import charts
from self_instruct.report.figures import Figure, Known, Section
from self_instruct.report.sources import Source
from self_instruct.report.wording import share
from self_instruct.runs.funnel import JUDGED

_WINDOWS = 24  # of requests, over which the yield is counted


def funnel_section(known: Known) -> Section:
    """The funnel and, for runs, the yield and the number of records over the requests."""
    section = Section("funnel", "From what was written to what is kept")
    steps = {source.name: source.funnel for source in known.sources}
    caption = "What is left after each stage, as a share of the first."
    section.figures.append(Figure("funnel", "Funnel", caption, charts.funnel_chart(steps), wide=True))
    timed = [source for source in known.sources if any(row.request is not None for row in source.rows)]
    if not timed:
        section.notes.append("Yield over time: a file does not say which request its records come from.")
        return section
    yields = [point for source in timed for point in _windows(source)]
    y = {"field": "yield", "title": "yield", "axis": {"format": ".0%", "tickCount": 5}, "scale": {"domain": [0, 1]}}
    section.figures.append(
        Figure("yield", "Yield over time", "Records accepted, of the blocks that could be read, over windows of requests.",
               charts.line_chart(yields, known.names, y))
    )  # fmt: skip
    grown = [point for source in timed for point in _growth(source)]
    y = {"field": "records", "title": "records", "axis": {"format": "~s", "tickCount": 5}}
    caption = "Records that were there after each request. A line that bends flat is a model that repeats itself."
    section.figures.append(Figure("growth", "Records over time", caption, charts.line_chart(grown, known.names, y)))
    return section


def _windows(source: Source) -> list[dict[str, Any]]:
    """The yield over windows of requests."""
    width = max(1, -(-source.requests // _WINDOWS))
    kept, read = Counter[int](), Counter[int]()
    for row in source.rows:
        if row.request is not None:
            kept[row.request // width] += 1
            read[row.request // width] += 1
    for item in source.dropped:
        if item.request is not None and item.stage in JUDGED:
            read[item.request // width] += 1
    middle = (width - 1) / 2
    return [
        {"run": source.name, "request": window * width + middle, "yield": round(kept[window] / read[window], 4)}
        for window in sorted(read)
    ]


def _growth(source: Source) -> list[dict[str, Any]]:
    """How many records there were after some 200 of the requests."""
    requests = np.sort([row.request for row in source.rows if row.request is not None])
    asked = np.unique(np.linspace(0, max(0, source.requests - 1), 200).round())
    there = np.searchsorted(requests, asked, side="right")
    return [{"run": source.name, "request": int(at), "records": int(n)} for at, n in zip(asked, there, strict=True)]


def reasons_section(known: Known) -> Section:
    """How often each reason dropped a candidate."""
    section = Section("rejected", "What was not kept, and why")
    values = []
    for source in known.sources:
        total = len(source.rows) + len(source.dropped)
        for (stage, reason), count in source.drops.items():
            label = f"{count:,}  ({share(count / total)})"
            values.append({"run": source.name, "stage": stage, "reason": reason, "count": count, "share": count / total,
                           "label": label})  # fmt: skip
    if values:
        caption = "Candidates by the reason that dropped them, as a share of all candidates."
        section.figures.append(
            Figure("reasons", "Reasons", caption, charts.reasons_chart(values, known.names), wide=True)
        )
    else:
        section.notes.append("Nothing was dropped, or what was dropped does not lie beside the file.")
    return section
