"""Build the charts of a report as Vega-Lite and Vega specifications: plain data in, a dictionary out.

The page and the PNG files draw the same specifications. Colours of runs, stages and groups are the same on a light and a dark
background; everything else comes from the theme.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
BARS = 30
_SHARE = {"format": ".0%"}
VERBS, NOUNS = 20, 4
OVERLAP = "overlap of both"
_ROOT = "*"  # id of the root node; never a verb
_LABEL_ROOM = 110  # pixels right of the longest bar, for its label
_RIGHT = 0.71  # markers up to this part of the axis have their label on the right
_LINE_LABEL = 14  # pixels of height of the label of a marker


@dataclass(frozen=True)
class Marker:
    """A vertical line with a label, drawn over the histogram of a run: a median, or a threshold (dashed)."""

    run: str
    value: float
    label: str
    dashed: bool = False


@cache
def theme() -> dict[str, Any]:
    """Return the colours, and the configuration of Vega for a light and a dark background."""
    return json.loads((files("self_instruct.report") / "theme.json").read_text(encoding="utf-8"))


def chart(values: Sequence[Mapping[str, Any]], height: int, **rest: Any) -> dict[str, Any]:
    """Return a specification that is as wide as its container."""
    fit = {"type": "fit-x", "contains": "padding"}
    data = {"values": list(values)}
    return {"$schema": SCHEMA, "data": data, "width": "container", "height": height, "autosize": fit, **rest}


def _number(field: str, **rest: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", **rest}


def _name(field: str, **rest: Any) -> dict[str, Any]:
    return {"field": field, "type": "nominal", **rest}


def by_run(names: Sequence[str], legend: bool = True) -> dict[str, Any]:
    """Return the encoding of colour by run; one run needs no legend."""
    shown = {"title": None} if legend and len(names) > 1 else None
    return _name("run", scale={"domain": list(names), "range": theme()["runs"][: len(names)]}, legend=shown)


def _by_run_and_overlap(names: Sequence[str]) -> dict[str, Any]:
    """Return the encoding of colour by run for two runs whose bars overlap, with the overlap in the legend."""
    scale = {"domain": [*names, OVERLAP], "range": [*theme()["runs"][:2], theme()["overlap"]]}
    return _name("run", scale=scale, legend={"title": None})


def funnel_chart(steps: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, Any]:
    """Draw the remainder after each step, as a bar for each run."""
    names, values = list(steps), list[dict[str, Any]]()
    for run, rows in steps.items():
        for name, left in rows:
            part = left / rows[0][1] if rows[0][1] else 0.0
            values.append({"run": run, "step": name, "count": left, "share": part, "label": f"{left:,}  ({part:.0%})"})
    # The run with the most steps gives the order; steps that only others have follow.
    longest = max(steps.values(), key=len, default=[])
    order = list(dict.fromkeys([*(name for name, _ in longest), *(str(value["step"]) for value in values)]))
    return _named_bars(values, names, "step", order, by_run(names))


def reasons_chart(values: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Draw the share of candidates that each reason dropped, most frequent first, coloured by stage or by run."""
    order = list(dict.fromkeys(value["reason"] for value in sorted(values, key=lambda value: -value["share"])))
    colour: dict[str, Any] = by_run(names)
    if len(names) == 1:
        stages = [stage for stage in theme()["stages"] if any(value["stage"] == stage for value in values)]
        scale = {"domain": stages, "range": [theme()["stages"][stage] for stage in stages]}
        colour = _name("stage", scale=scale, legend={"title": None})
    return _named_bars(values, names, "reason", order, colour)


def _named_bars(
    values: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    field: str,
    order: Sequence[str],
    colour: Mapping[str, Any],
) -> dict[str, Any]:
    """Draw a labelled horizontal bar for each `share`, grouped by a field, with one bar for each run."""
    lines = {"y": _name(field, sort=list(order), title=None, axis={"domain": False, "ticks": False})}
    if len(names) > 1:
        lines["yOffset"] = {"field": "run", "sort": list(names)}
    # Shares, not counts, so that runs of different sizes can be compared.
    most = max((value["share"] for value in values), default=1.0)
    room = {"expr": f"max(30, width - {_LABEL_ROOM})"}
    x = _number("share", scale={"domain": [0, most], "range": [0, room]}, axis=None)
    tip = [{"field": "run"}, {"field": field}, {"field": "count", "format": ","}, {"field": "share", "format": ".1%"}]
    bars = {"mark": {"type": "bar", "cornerRadiusEnd": 3}, "encoding": {"x": x, "color": colour, "tooltip": tip}}
    labels = {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"x": x, "text": {"field": "label"}}}
    height = len(order) * (30 if len(names) == 1 else 20 * len(names) + 4) + 10
    return chart(values, height, encoding=lines, layer=[bars, labels])


def line_chart(values: Sequence[Mapping[str, Any]], names: Sequence[str], y: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a line for each run over its requests; `y` is the encoding of the y axis."""
    x = _number("request", title="request number", axis={"grid": False, "tickMinStep": 1})
    tip = [{"field": "run"}, {"field": "request", "format": ","}, {**y, "title": y["title"]}]
    mark = {"type": "line", "strokeWidth": 2.2, "point": {"size": 24, "opacity": 0}}
    encoding = {"x": x, "y": {**y, "type": "quantitative"}, "color": by_run(names), "tooltip": tip}
    return chart(values, 220, mark=mark, encoding=encoding)


def histogram(
    values: Sequence[Mapping[str, Any]],
    title: str,
    names: Sequence[str],
    *,
    x: Mapping[str, Any] | None = None,
    markers: Sequence[Marker] = (),
    colour: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Draw bars from `low` to `high` with the share of the run's records in each, and lines for the markers.

    Bars of several runs are drawn over each other; for two runs, the overlap has its own colour.
    """
    several, both = len(names) > 1, len(names) == 2
    totals = Counter[tuple[str, float]]()
    for value in values:
        totals[value["run"], value["low"]] += value["share"]
    most = max(totals.values(), default=1.0) * (1.04 + _LINE_LABEL * len(markers) / 200)
    height = _number("share", title="share of records", axis={**_SHARE, "tickCount": 4}, scale={"domain": [0, most]})
    fill = colour or (_by_run_and_overlap(names) if both else by_run(names))
    tip = [{"field": "group" if colour else "run", "title": "of"}]
    tip += [{"field": at, "title": title, "format": ".3~f"} for at, title in (("low", "from"), ("high", "to"))]
    tip += [{"field": "count", "format": ","}, {"field": "share", "format": ".1%"}]
    bars = {
        "mark": {"type": "bar", "binSpacing": 1, "opacity": 0.6 if several and not both else 0.95},
        "encoding": {
            "x": _number("low", bin="binned", title=title, axis={"grid": False, "tickCount": 6}) | dict(x or {}),
            "x2": {"field": "high"},
            "y": {**height, "stack": None} if several else height,
            "color": fill,
            "tooltip": tip,
        },
    }
    common = _overlaps(values) if both else []
    layers = [bars, *([_overlap(bars, common)] if common else [])]
    begin, end = (x or {}).get("scale", {}).get("domain") or (0, max((value["high"] for value in values), default=1))
    for place, marker in enumerate(sorted(markers, key=lambda marker: marker.value)):
        colours = {"color": theme()["runs"][list(names).index(marker.run)]} if several else {}
        layers += _line(marker, place, marker.value <= begin + _RIGHT * (end - begin), colours)
    return chart(values, 200, layer=layers)


def _overlaps(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bars that two runs have in common: the smaller share of each pair at the same place."""
    shares: dict[tuple[float, float], list[float]] = {}
    for value in values:
        shares.setdefault((value["low"], value["high"]), []).append(value["share"])
    return [
        {"run": OVERLAP, "low": low, "high": high, "share": min(found)}
        for (low, high), found in shares.items()
        if len(found) > 1
    ]


def _overlap(bars: Mapping[str, Any], common: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the layer of overlapping bars, drawn like the bars of the runs."""
    tip = [{"field": "run", "title": "of"}, {"field": "share", "format": ".1%"}]
    return {**bars, "data": {"values": list(common)}, "encoding": {**bars["encoding"], "tooltip": tip}}


def _line(marker: Marker, place: int, left: bool, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the layers of a marker: a line, and a label beside its upper end.

    Each marker is drawn lower than those of smaller values, so that no line crosses a label.
    """
    data = {"values": [{"value": marker.value, "label": marker.label}]}
    stroke = {"strokeDash": [4, 3]} if marker.dashed else {}
    side = {"align": "left", "dx": 5} if left else {"align": "right", "dx": -5}
    text = {"text": {"field": "label", "type": "nominal"}, "y": {"value": 7 + _LINE_LABEL * place}}
    span = {"y": {"value": _LINE_LABEL * place}, "y2": {"value": "height"}}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "strokeWidth": 1.5, **stroke, **colours},
            "encoding": {"x": _number("value"), **span},
        },
        {
            "data": data,
            "mark": {"type": "text", "fontSize": 11.5, **side, **colours},
            "encoding": {"x": _number("value"), **text},
        },
    ]


def map_chart(values: Sequence[Mapping[str, Any]], groups: Sequence[str], what: str) -> dict[str, Any]:
    """Draw points coloured by group on a map that can be panned and zoomed. The page adds their texts."""
    plane = {name: _number(name, axis=None, scale={"domain": [-1.05, 1.05]}) for name in ("x", "y")}
    # Zooming needs shift, so that scrolling past the map does not zoom it.
    zoom = {"name": "view", "bind": "scales", "select": {"type": "interval", "zoom": "wheel![event.shiftKey]"}}
    palette = [
        theme()["other"] if group == "other" else colour
        for group, colour in zip(groups, theme()["groups"], strict=False)
    ]
    scale, legend = {"domain": list(groups), "range": palette}, {"title": what, "orient": "bottom"}
    return chart(
        values,
        420,
        mark={"type": "circle", "size": 26, "opacity": 0.75},
        params=[zoom],
        encoding={**plane, "color": _name("group", scale=scale, legend=legend), "tooltip": _name("text")},
    )


def commonest_pairs(pairs: Sequence[tuple[str | None, str | None]]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the 20 most frequent verbs with an object, each with its 4 most frequent objects; ties in alphabetical order."""
    objects: dict[str, Counter[str]] = {}
    for verb, noun in pairs:
        if verb and noun:
            objects.setdefault(verb, Counter())[noun] += 1
    verbs = sorted(objects, key=lambda verb: (-objects[verb].total(), verb))[:VERBS]
    return [(verb, sorted(objects[verb].items(), key=lambda item: (-item[1], item[0]))[:NOUNS]) for verb in verbs]


def verb_colours(wheels: Sequence[Sequence[tuple[str, Sequence[tuple[str, int]]]]]) -> dict[str, str]:
    """Return a colour for each verb in the `commonest_pairs` of several runs; a verb has the same colour in all of them."""
    colours, verbs = theme()["wheel"], dict.fromkeys(verb for wheel in wheels for verb, _ in wheel)
    # Every fifth colour, so that neighbours on the wheel differ.
    return {verb: colours[place * 5 % len(colours)] for place, verb in enumerate(verbs)}


def sunburst(
    wheel: Sequence[tuple[str, Sequence[tuple[str, int]]]], number: int, colours: Mapping[str, str]
) -> dict[str, Any]:
    """Draw the `commonest_pairs` of `number` records as two rings: verbs inside, their objects outside."""
    nodes: list[dict[str, Any]] = [{"id": _ROOT, "parent": None}]
    for verb, nouns in wheel:
        total = sum(count for _, count in nouns)
        common = {"verb": verb, "colour": colours[verb]}
        nodes.append({**common, "id": verb, "parent": _ROOT, "label": verb, "tip": _tip(verb, total, number)})
        for noun, count in nouns:
            tip = _tip(f"{verb} {noun}", count, number)
            name = f"{verb} {noun}"
            nodes.append(
                {**common, "id": name, "parent": verb, "noun": noun, "label": noun, "count": count, "tip": tip}
            )
    spec = json.loads((files("self_instruct.report") / "sunburst.json").read_text(encoding="utf-8"))
    spec["data"][0]["values"] = nodes
    return spec


def _tip(name: str, count: int, number: int) -> str:
    return f"{name}: {count:,} records ({count / number:.1%})"
