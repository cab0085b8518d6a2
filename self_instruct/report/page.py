"""The page: one HTML file with its style, scripts, data and the library that draws; it asks no network for anything.

Its policy lets a browser run only the two scripts whose hashes it names: text of records could do nothing even if it were
not escaped.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

from self_instruct.report import tables
from self_instruct.report.charts import theme
from self_instruct.report.contents import map_section, verbs_section
from self_instruct.report.distributions import lengths_section, novelty_section
from self_instruct.report.figures import Figure, Known, Section
from self_instruct.report.flow import funnel_section, reasons_section
from self_instruct.report.payload import Payload
from self_instruct.report.wording import escaped


def sections(known: Known, projection: str, map_points: int) -> list[Section]:
    """All figures, in the order of the page."""
    return [
        funnel_section(known),
        lengths_section(known),
        novelty_section(known),
        verbs_section(known),
        map_section(known, projection, map_points),
        reasons_section(known),
    ]


def page(known: Known, parts: Sequence[Section], payload: Payload) -> bytes:
    """The whole file, UTF-8. The same sources give the same bytes."""
    import vl_convert

    names = " and ".join(known.names)
    script, vega = _file("page.js"), vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub asks for what has a default
    figures = {
        figure.name: {"spec": figure.spec, "points": figure.points} for part in parts for figure in part.figures
    }
    filled = Template(_file("template.html")).substitute(
        hashes=f"{_hash(vega)} {_hash(script)}",
        title=f"Instructions: {escaped(names, 200)}",
        style=_file("style.css"),
        nav=_nav(known, parts),
        lead=_lead(known),
        overview=tables.overview(known),
        sections="\n".join(_section(known, part) for part in parts) + _groups(known),
        count="The records are being unpacked ...",
        cut=escaped(payload.told),
        themes=_data({name: theme()[name] for name in ("light", "dark")}),
        figures=_data(figures),
        packed=payload.text,
        vega=vega,
        script=script,
    )
    return filled.encode("utf-8")


def _lead(known: Known) -> str:
    number = sum(len(source.rows) for source in known.sources)
    kinds = "Two runs side by side. " if len(known.sources) == 2 else ""
    return (
        f"{kinds}{number:,} records: where they come from, what they ask for, how new each is, and what was left out."
    )


def _nav(known: Known, parts: Sequence[Section]) -> str:
    short = {
        "funnel": "Funnel",
        "lengths": "Lengths",
        "novelty": "Novelty",
        "verbs": "Verbs",
        "map": "Map",
        "rejected": "Rejected",
    }
    links = [(part.name, short[part.name]) for part in parts]
    links += [("groups", "Groups")] if tables.groups(known) else []
    return "".join(f'<a href="#{name}">{title}</a>' for name, title in [*links, ("records", "Records")])


def _section(known: Known, part: Section) -> str:
    drawn = "".join(_figure(figure, part) for figure in part.figures)
    if part.name == "verbs" and len(part.figures) == 1:
        drawn += tables.pairs(known)
    grid = f'<div class="grid">{drawn}</div>' if drawn else ""
    more = tables.rejected(known) if part.name == "rejected" else ""
    return f'<section id="{part.name}"><h2>{part.title}</h2>{grid}{tables.notes(part.notes)}{more}</section>'


def _groups(known: Known) -> str:
    found = tables.groups(known)
    return f'<section id="groups"><h2>By category and source</h2>{found}</section>' if found else ""


def _figure(figure: Figure, part: Section) -> str:
    narrow = sum(not other.wide for other in part.figures) == 3
    kind = "wide" if figure.wide else "third" if narrow else ""
    wheel = figure.name.startswith("verbs_")
    run = f' data-run="{int(figure.name.removeprefix("verbs_")) - 1}"' if wheel else ""
    # The height that the chart will have, so that nothing moves when it is drawn.
    height = int(figure.spec.get("height", 0)) + (8 if wheel else 40)
    shape = f'class="plot{" wheel" if wheel else ""}" style="min-height:{height}px"'
    return (
        f'<figure class="{kind}"><h3>{escaped(figure.title)}</h3><div {shape} data-figure="{figure.name}"{run}></div>'
        f"<figcaption>{escaped(figure.caption)}</figcaption></figure>"
    )


def _data(content: Any) -> str:
    """JSON that may stand in a script element: no text in it can end the element or begin a comment."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _file(name: str) -> str:
    return (files("self_instruct.report") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
