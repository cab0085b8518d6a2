"""Figures of what the records are about: the wheel of verbs and objects, and the map of their embeddings."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from self_instruct.report import charts
from self_instruct.report.figures import Figure, Known, Section
from self_instruct.report.projection import project, sample
from self_instruct.report.sunburst import commonest, sunburst

_GROUPS = 8  # groups that a map tells apart by colour


def verbs_section(known: Known) -> Section:
    """A wheel of verbs and objects for each source."""
    section = Section("verbs", "What they ask for")
    for at, (source, pairs) in enumerate(zip(known.sources, known.pairs, strict=True)):
        wheel, number = commonest(pairs), len(source.rows)
        both = sum(pair.noun is not None for pair in pairs)
        if not wheel:
            section.notes.append(f"{source.name}: no instruction has an imperative verb with an object.")
            continue
        shown = sum(count for _, nouns in wheel for _, count in nouns)
        caption = (
            f"The {len(wheel)} commonest verbs, inside, and up to 4 objects of each: {shown / number:.0%} of {number:,} "
            f"records. {both / number:.0%} have a verb and an object that rules for English can tell. A click shows them."
        )
        title = "Verbs and their objects" + (f": {source.name}" if len(known.sources) > 1 else "")
        section.figures.append(Figure(f"verbs_{at + 1}", title, caption, sunburst(wheel, number)))
    return section


def map_section(known: Known, projection: str, most: int) -> Section:
    """A map for each source, all on one plane, of at most so many points together."""
    section = Section("map", "Where they lie")
    if known.vectors is None:
        section.notes.append(f"Map of the instructions: {known.no_vectors}")
        return section
    sizes = [len(vectors) for vectors in known.vectors]
    chosen = [sample(size, most, size / sum(sizes)) for size in sizes]
    points = project(
        np.concatenate([vectors[at] for vectors, at in zip(known.vectors, chosen, strict=True)]), projection
    )
    groups, what = _groups(known, chosen)
    begin = 0
    for at, (source, rows) in enumerate(zip(known.sources, chosen, strict=True)):
        values = [
            {"x": round(float(x), 4), "y": round(float(y), 4), "s": at, "i": int(row), "group": groups[begin + place]}
            for place, ((x, y), row) in enumerate(zip(points[begin : begin + len(rows)], rows, strict=True))
        ]
        begin += len(rows)
        shown = (
            f"{len(rows):,} of {sizes[at]:,} records, evenly spread over them"
            if len(rows) < sizes[at]
            else f"All {sizes[at]:,} records"
        )
        method = "t-SNE" if projection == "tsne" else "principal components"
        caption = (
            f"{shown}; embeddings by {method}. Drag to move, shift and wheel to magnify, double click for the whole."
        )
        order = [group for group, _ in Counter(groups).most_common() if group != "other"]
        spec = charts.map_chart(values, [*order, *(["other"] if "other" in groups else [])], what)
        title = "Map of the instructions" + (f": {source.name}" if len(known.sources) > 1 else "")
        section.figures.append(
            Figure(f"map_{at + 1}", title, caption, spec, wide=len(known.sources) == 1, points=True)
        )
    return section


def _groups(known: Known, chosen: Sequence[np.ndarray]) -> tuple[list[str], str]:
    """What colours a map: the category of each chosen row, else where it comes from, else its verb."""
    rows = [source.rows[at] for source, rows in zip(known.sources, chosen, strict=True) for at in rows]
    pairs = [found[at] for found, rows in zip(known.pairs, chosen, strict=True) for at in rows]
    looks: Mapping[str, list[str | None]] = {
        "category": [row.category for row in rows],
        "source": [row.origin for row in rows],
        "verb": [pair.verb for pair in pairs],
    }
    what, names = next(((what, names) for what, names in looks.items() if any(names)), ("verb", looks["verb"]))
    common = [name for name, _ in Counter(name for name in names if name).most_common(_GROUPS)]
    return [name if name in common else "other" for name in map(str, names)], what
