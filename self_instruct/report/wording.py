"""Text of any kind as safe HTML: escaped, kept apart from its surroundings, cut where it is long. Knows nothing of pages."""

import html
import re
from collections.abc import Iterable, Sequence

# What HTML may not hold, and what no UTF-8 file can: told by a sign of its own instead of dropped.
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def visible(text: str) -> str:
    """The text with a sign in the place of each character that cannot be shown."""
    return _UNSHOWN.sub("\ufffd", text)


def escaped(text: str, longest: int | None = None) -> str:
    """The text, or so much of its beginning, as HTML that shows it and does nothing."""
    cut = text if longest is None or len(text) <= longest else f"{text[:longest]} …"
    return html.escape(visible(cut))


def shown(text: str, longest: int, tag: str = "div") -> str:
    """The text in an element that keeps its line ends, and its direction of writing to itself."""
    said = f'<span class="cut">cut: {len(text):,} characters</span>' if len(text) > longest else ""
    return f'<{tag} class="text" dir="auto">{escaped(text, longest)}{said}</{tag}>'


def share(part: float) -> str:
    """A share in percent; what is there is never shown as nothing."""
    return "under 0.1%" if 0 < part < 0.0005 else f"{part:.1%}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already; the columns at `numeric` hold figures."""
    kind = [' class="number"' if at in numeric else "" for at in range(len(head))]
    top = "".join(f"<th{kind[at]}>{name}</th>" for at, name in enumerate(head))
    body = "".join(f"<tr>{''.join(f'<td{kind[at]}>{cell}</td>' for at, cell in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
