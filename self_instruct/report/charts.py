"""The charts of a report as Vega-Lite specifications: plain data in, a dictionary out. Page and PNG files draw the same.

Colours of runs, stages and groups are the same on light and dark ground; all else is the theme's. Knows nothing of records.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
BARS = 30
_SHARE = {"format": ".0%"}
VERBS, NOUNS = 20, 4
_ROOT = "*"  # no verb


@cache
def theme() -> dict[str, Any]:
    """Colours, and the configuration of Vega on light and on dark ground."""
    return json.loads((files("self_instruct.report") / "theme.json").read_text(encoding="utf-8"))


def chart(values: Sequence[Mapping[str, Any]], height: int, **rest: Any) -> dict[str, Any]:
    """A specification as wide as what it stands in."""
    fit = {"type": "fit-x", "contains": "padding"}
    data = {"values": list(values)}
    return {"$schema": SCHEMA, "data": data, "width": "container", "height": height, "autosize": fit, **rest}


def _number(field: str, **rest: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", **rest}


def _name(field: str, **rest: Any) -> dict[str, Any]:
    return {"field": field, "type": "nominal", **rest}


def by_run(names: Sequence[str], legend: bool = True) -> dict[str, Any]:
    """The colour of each run; one run needs no legend."""
    shown = {"title": None} if legend and len(names) > 1 else None
    return _name("run", scale={"domain": list(names), "range": theme()["runs"][: len(names)]}, legend=shown)


def funnel_chart(steps: Mapping[str, Sequence[tuple[str, int]]]) -> dict[str, Any]:
    """What is left after each step, of each run."""
    names, values = list(steps), list[dict[str, Any]]()
    for run, rows in steps.items():
        for name, left in rows:
            part = left / rows[0][1] if rows[0][1] else 0.0
            values.append({"run": run, "step": name, "count": left, "share": part, "label": f"{left:,}  ({part:.0%})"})
    # A run that has every step says where those stand that others have not.
    longest = max(steps.values(), key=len, default=[])
    order = list(dict.fromkeys([*(name for name, _ in longest), *(str(value["step"]) for value in values)]))
    return _named_bars(values, names, "step", order, by_run(names))


def reasons_chart(values: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Why candidates were dropped, commonest first: bars of the share of the run's candidates, coloured by stage or by run."""
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
    """A bar for each `share`, with its `label`; the lines are named by a field, and have a bar for each run."""
    lines = {"y": _name(field, sort=list(order), title=None, axis={"domain": False, "ticks": False})}
    if len(names) > 1:
        lines["yOffset"] = {"field": "run", "sort": list(names)}
    # Shares, not counts: runs of different sizes can be compared. The label needs room behind the longest.
    most = max((value["share"] for value in values), default=1.0)
    x = _number("share", scale={"domain": [0, most * 1.2]}, axis=None)
    tip = [{"field": "run"}, {"field": field}, {"field": "count", "format": ","}, {"field": "share", "format": ".1%"}]
    bars = {"mark": {"type": "bar", "cornerRadiusEnd": 3}, "encoding": {"x": x, "color": colour, "tooltip": tip}}
    labels = {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"x": x, "text": {"field": "label"}}}
    height = len(order) * (30 if len(names) == 1 else 20 * len(names) + 4) + 10
    return chart(values, height, encoding=lines, layer=[bars, labels])


def line_chart(values: Sequence[Mapping[str, Any]], names: Sequence[str], y: Mapping[str, Any]) -> dict[str, Any]:
    """A line of each run over its requests; `y` is the encoding of the height."""
    x = _number("request", title="request", axis={"grid": False, "tickMinStep": 1})
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
    limits: Mapping[str, float] | None = None,
    colour: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Bars from `low` to `high`, with the share of the run's records in each; runs lie over each other.

    `limits` are thresholds by run, drawn as lines.
    """
    several = len(names) > 1
    height = _number("share", title="share of records", axis={**_SHARE, "tickCount": 4})
    tip = [{"field": "group" if colour else "run", "title": "of"}]
    tip += [{"field": at, "title": title, "format": ".3~f"} for at, title in (("low", "from"), ("high", "to"))]
    tip += [{"field": "count", "format": ","}, {"field": "share", "format": ".1%"}]
    bars = {
        "mark": {"type": "bar", "binSpacing": 1, "opacity": 0.6 if several else 0.95},
        "encoding": {
            "x": _number("low", bin="binned", title=title, axis={"grid": False, "tickCount": 6}) | dict(x or {}),
            "x2": {"field": "high"},
            "y": {**height, "stack": None} if several else height,
            "color": colour or by_run(names),
            "tooltip": tip,
        },
    }
    lines = [
        {
            "data": {"values": [{"limit": limit, "run": run}]},
            "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5},
            "encoding": {"x": _number("limit"), "tooltip": [{"field": "limit", "title": f"threshold of {run}"}]},
        }
        for run, limit in (limits or {}).items()
    ]
    return chart(values, 200, layer=[bars, *lines])


def map_chart(values: Sequence[Mapping[str, Any]], groups: Sequence[str], what: str) -> dict[str, Any]:
    """Points of a plane, coloured by group; they can be moved and magnified. Their text comes with the page."""
    plane = {name: _number(name, axis=None, scale={"domain": [-1.05, 1.05]}) for name in ("x", "y")}
    # A wheel that always magnifies would hold up whoever scrolls past.
    zoom = {"name": "view", "bind": "scales", "select": {"type": "interval", "zoom": "wheel![event.shiftKey]"}}
    palette = [
        theme()["other"] if group == "other" else colour
        for group, colour in zip(groups, theme()["groups"], strict=False)
    ]
    scale, legend = {"domain": list(groups), "range": palette}, {"title": what, "orient": "bottom", "columns": 5}
    return chart(
        values,
        420,
        mark={"type": "circle", "size": 26, "opacity": 0.75},
        params=[zoom],
        encoding={**plane, "color": _name("group", scale=scale, legend=legend), "tooltip": _name("text")},
    )


def commonest_pairs(pairs: Sequence[tuple[str | None, str | None]]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The 20 commonest verbs that have an object, each with its 4 commonest and how often; ties in order of the alphabet."""
    objects: dict[str, Counter[str]] = {}
    for verb, noun in pairs:
        if verb and noun:
            objects.setdefault(verb, Counter())[noun] += 1
    verbs = sorted(objects, key=lambda verb: (-objects[verb].total(), verb))[:VERBS]
    return [(verb, sorted(objects[verb].items(), key=lambda item: (-item[1], item[0]))[:NOUNS]) for verb in verbs]


def sunburst(wheel: Sequence[tuple[str, Sequence[tuple[str, int]]]], number: int) -> dict[str, Any]:
    """The specification for what `commonest_pairs` gives, of so many records."""
    nodes: list[dict[str, Any]] = [{"id": _ROOT, "parent": None}]
    colours = theme()["wheel"]
    for place, (verb, nouns) in enumerate(wheel):
        total = sum(count for _, count in nouns)
        # Every fifth colour: neighbours on the wheel should not look alike.
        common = {"verb": verb, "colour": colours[place * 5 % len(colours)]}
        nodes.append({**common, "id": verb, "parent": _ROOT, "label": verb, "said": _said(verb, total, number)})
        for noun, count in nouns:
            said = _said(f"{verb} {noun}", count, number)
            name = f"{verb} {noun}"
            nodes.append(
                {**common, "id": name, "parent": verb, "noun": noun, "label": noun, "count": count, "said": said}
            )
    spec = json.loads((files("self_instruct.report") / "sunburst.json").read_text(encoding="utf-8"))
    spec["data"][0]["values"] = nodes
    return spec


def _said(what: str, count: int, number: int) -> str:
    return f"{what}: {count:,} records ({count / number:.1%})"
