"""The verbs of a set of instructions with their objects as two rings: their data, in the Vega specification sunburst.json.

The form is that of the figure in the Self-Instruct paper (wang2023selfinstruct): 20 verbs, 4 objects each.
"""

import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from self_instruct.report.charts import theme
from self_instruct.report.verb_noun import VerbNoun

VERBS, NOUNS = 20, 4
_ROOT = "*"  # no verb


def commonest(pairs: Sequence[VerbNoun]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The 20 commonest verbs that have an object, each with its 4 commonest and how often; ties in order of the alphabet."""
    objects: dict[str, Counter[str]] = {}
    for verb, noun in pairs:
        if verb and noun:
            objects.setdefault(verb, Counter())[noun] += 1
    verbs = sorted(objects, key=lambda verb: (-objects[verb].total(), verb))[:VERBS]
    return [(verb, sorted(objects[verb].items(), key=lambda item: (-item[1], item[0]))[:NOUNS]) for verb in verbs]


def sunburst(wheel: Sequence[tuple[str, Sequence[tuple[str, int]]]], number: int) -> dict[str, Any]:
    """The specification for what `commonest` gives, of so many records."""
    nodes: list[dict[str, Any]] = [{"id": _ROOT, "parent": None}]
    colours = theme()["wheel"]
    for place, (verb, nouns) in enumerate(wheel):
        total = sum(count for _, count in nouns)
        # Every fifth colour: neighbours on the wheel should not look alike.
        common = {"verb": verb, "colour": colours[place * 5 % len(colours)]}
        nodes.append({**common, "id": verb, "parent": _ROOT, "label": verb, "said": _said(verb, total, number)})
        for noun, count in nouns:
            said = _said(f"{verb} {noun}", count, number)
            nodes.append(
                {
                    **common,
                    "id": f"{verb} {noun}",
                    "parent": verb,
                    "noun": noun,
                    "label": noun,
                    "count": count,
                    "said": said,
                }
            )
    spec = json.loads((files("self_instruct.report") / "sunburst.json").read_text(encoding="utf-8"))
    spec["data"][0]["values"] = nodes
    return spec


def _said(what: str, count: int, number: int) -> str:
    return f"{what}: {count:,} records ({count / number:.1%})"
