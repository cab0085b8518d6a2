"""The tables and examples of a report, as HTML: the runs in figures, categories and sources, what was rejected and why."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from self_instruct.report.figures import Known
from self_instruct.report.sources import Dropped, Row, Source
from self_instruct.report.wording import escaped, share, shown, table
from self_instruct.runs.funnel import JUDGED

_EXAMPLES = 5  # of each reason
_LONGEST = 600  # characters of an example
_ROWS = 40  # groups of a table
_PAIRS = 12


def overview(known: Known) -> str:
    """A card of figures for each run."""
    cards = []
    for at, source in enumerate(known.sources):
        facts = [("records", f"{len(source.rows):,}"), *_of_funnel(source), *source.facts]
        words = [len(row.record.instruction.split()) for row in source.rows]
        facts.append(("words an instruction", f"{statistics.median(words):,.0f}"))
        scores = [near.score for near in known.neighbours[at].words if near]
        if scores:
            facts.append(("ROUGE-L, nearest", f"{statistics.median(scores):.2f}"))
        pairs = {pair for pair in known.pairs[at] if pair.noun}
        facts.append(("verb-object pairs", f"{len(pairs):,}"))
        tiles = "".join(f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>" for name, value in facts)
        model = f" <small>{escaped(source.model, 80)}</small>" if source.model else ""
        cards.append(
            f'<article class="card"><h3><i class="dot run{at}"></i>{escaped(source.name)}{model}</h3><dl>{tiles}</dl></article>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _of_funnel(source: Source) -> list[tuple[str, str]]:
    judged = len(source.rows) + sum(item.stage in JUDGED for item in source.dropped)
    return [("yield", f"{len(source.rows) / judged:.0%}")] if source.dropped else []


def pairs(known: Known) -> str:
    """The commonest verbs with an object, of a report of one run."""
    counts = Counter(pair for pair in known.pairs[0] if pair.noun)
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PAIRS]
    rows = [
        (
            f"{escaped(pair.verb or '', 40)} {escaped(pair.noun or '', 40)}",
            _bar(count, common[0][1], 0),
            share(count / len(known.pairs[0])),
        )
        for pair, count in common
    ]
    told = table(("verb and object", "records", "share"), rows, (2,))
    return f'<div class="panel half"><h3>The commonest pairs</h3>{told}</div>'


def _bar(count: int, most: int, run: int) -> str:
    return f'<span class="figure">{count:,}</span><i class="bar run{run}" style="--share:{count / most:.3f}"></i>'


def groups(known: Known) -> str:
    """Tables by category and by source, where records say so; nothing otherwise."""
    looks: list[tuple[str, Callable[[Row], str | None]]] = [
        ("category", lambda row: row.category),
        ("source", lambda row: row.origin),
    ]
    parts = [
        _group_table(source, at, what, look)
        for what, look in looks
        for at, source in enumerate(known.sources)
        if any(look(row) for row in source.rows)
    ]
    return f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def _group_table(source: Source, at: int, what: str, look: Callable[[Row], str | None]) -> str:
    members: dict[str, list[Row]] = {}
    for row in source.rows:
        members.setdefault(look(row) or "", []).append(row)
    order = sorted(members, key=lambda name: (-len(members[name]), name))
    most = max(map(len, members.values()))
    rows = [
        (
            f'<span dir="auto">{escaped(name, 60) or "<em>none</em>"}</span>',
            _bar(len(members[name]), most, at),
            share(len(members[name]) / len(source.rows)),
            f"{statistics.median(len(row.record.instruction.split()) for row in members[name]):,.0f}",
            f"{statistics.median(len(row.record.output.split()) for row in members[name]):,.0f}",
        )
        for name in order[:_ROWS]
    ]
    head = (what, "records", "share", "words, instruction", "words, output")
    more = f'<p class="note">and {len(order) - _ROWS:,} more</p>' if len(order) > _ROWS else ""
    title = f"By {what}" + f": {escaped(source.name)}"
    return f'<div class="panel wide"><h3>{title}</h3>{table(head, rows, (2, 3, 4))}{more}</div>'


def rejected(known: Known) -> str:
    """Examples of what was dropped, by run and reason, folded up."""
    parts = []
    for at, source in enumerate(known.sources):
        texts = {row.record.id: row.record.task for row in source.rows} | dict(source.known)
        by_reason: dict[tuple[str, str], list[Dropped]] = {}
        for item in source.dropped:
            by_reason.setdefault((item.stage, item.reason), []).append(item)
        for (stage, reason), number in Counter(source.drops).most_common():
            items = by_reason[stage, reason]
            # Evenly over the run: its beginning is not like its end.
            chosen = items[:: max(1, len(items) // _EXAMPLES)][:_EXAMPLES]
            examples = "".join(_example(item, texts) for item in chosen)
            run = f'<i class="dot run{at}"></i>' if len(known.sources) > 1 else ""
            parts.append(
                f"<details><summary>{run}<b>{escaped(reason, 80)}</b> <span>{escaped(stage, 40)}</span>"
                f'<span class="number">{number:,}</span></summary><ol class="examples">{examples}</ol></details>'
            )
    return f'<div class="reasons">{"".join(parts)}</div>'


def _example(item: Dropped, texts: dict[str, str]) -> str:
    detail = f'<p class="note">{escaped(item.detail, 300)}</p>' if item.detail else ""
    near = ""
    if item.nearest is not None:
        text = texts.get(item.nearest.id)
        told = shown(text, _LONGEST) if text is not None else '<p class="note">its text is not at hand</p>'
        near = f'<div class="near"><p class="note">{item.nearest.score:.3f} with {escaped(item.nearest.id, 80)}</p>{told}</div>'
    return f"<li><code>{escaped(item.id, 80)}</code>{shown(item.text, _LONGEST)}{detail}{near}</li>"


def notes(texts: Sequence[str]) -> str:
    """What is to be said of figures that are missing."""
    return "".join(f'<p class="note">{escaped(text)}</p>' for text in texts)
