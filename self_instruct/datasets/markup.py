"""Recognise HTML saved from a chat page, and convert it to Markdown with markdownify and Beautiful Soup.

Code is full of `<` and `>`, and an answer may rightly be HTML. So a text is converted only if it begins with elements of the
chat page, or consists entirely of rendered Markdown: closed elements of the few kinds that it uses, without indentation.
"""

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

from self_instruct.errors import UserError, install

_COUNTER = r"(?:\d{1,2} ?/ ?\d{1,2})?"
_PAGE = re.compile(
    rf"""\s*(?:<div>\s*)*{_COUNTER}\s*<(?:div|p|span)\b[^<>]*\bclass="[^"<>]*"""
    r"""(?:markdown prose|whitespace-pre-wrap|break-words|result-streaming|request-:|min-h-\[20px\])""",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"\s*{_COUNTER}\s*<(?:p|ol|ul|pre|table|blockquote|h[1-6]|div)\b", re.IGNORECASE)
_OF_MARKDOWN = frozenset(
    "p ol ul li pre code table thead tbody tr th td blockquote h1 h2 h3 h4 h5 h6 div span strong em b i del s a br hr img sub "
    "sup button svg path polyline line rect circle".split()
)
_VOID = frozenset("br hr img path polyline line rect circle".split())
_NEVER_CLOSED = _VOID | frozenset("area base col embed input link meta param source track wbr".split())
_ATTRIBUTES = frozenset("href src alt title class start target rel align".split())
_ABOUT_HTML = re.compile(
    r"\b(?:html5?|xml|xhtml|markup|web ?page|tags?|css)\b|</?[a-z][a-z0-9]*\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*+)[^<>]*+", re.IGNORECASE)
_SPACE = re.compile(r"\s++")
_MOST_UNCLOSED, _MOST_DEPTH, _MOST_SPACE = 100, 200, 500
_DROPPED = ("button", "svg", "script", "style", "head")


class NotConverted(Exception):
    """The parser could not read the HTML."""


def is_page(text: str) -> bool:
    """Return whether the text begins with an element that has classes of a chat page."""
    return _PAGE.match(text) is not None


def is_rendering(text: str) -> bool:
    """Return whether the text consists entirely of rendered Markdown."""
    if not _BEGINS.match(text) or text.rstrip()[-1:] != ">" or "<!" in text:
        return False
    shape = _Shape()
    shape.feed(text)
    shape.close()
    return shape.fits and not shape.open


def speaks_of_html(text: str) -> bool:
    """Return whether a text mentions or contains HTML, so that the answer may be HTML on purpose."""
    return _ABOUT_HTML.search(text) is not None


def to_markdown(text: str) -> str:
    """Convert HTML to Markdown. Raises NotConverted."""
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    _check_cost(text)
    try:
        soup = BeautifulSoup(text, "html.parser")
        for element in soup.find_all("pre"):
            if element.find_parent("pre") is None:
                _set_code(soup, element)
        for element in soup.find_all(class_="katex"):
            if element.find_parent(class_="katex") is None:
                _set_formula(element)
        for element in soup.find_all(_DROPPED):
            element.decompose()
        return str(_converter().convert_soup(soup))
    except (RecursionError, ParserRejectedMarkup, AssertionError, ValueError) as error:
        raise NotConverted(f"{type(error).__name__}: {error}"[:200]) from None


def _check_cost(text: str) -> None:
    """Raise NotConverted for HTML whose conversion takes quadratic time: with many unclosed tags or comments, deeply nested, or
    with long white space.
    """
    if max((found.end() - found.start() for found in _SPACE.finditer(text)), default=0) > _MOST_SPACE:
        raise NotConverted(f"over {_MOST_SPACE} characters of white space in a row")
    if text.count("<", text.rfind(">") + 1) > _MOST_UNCLOSED or text.count("<!") > _MOST_UNCLOSED:
        raise NotConverted(f"over {_MOST_UNCLOSED} tags or comments are not closed")
    depth = 0
    for found in _TAG.finditer(text):
        if found[2].lower() not in _NEVER_CLOSED and not found[0].endswith("/"):
            depth = max(0, depth - 1) if found[1] else depth + 1
        if depth > _MOST_DEPTH:
            raise NotConverted(f"over {_MOST_DEPTH} levels of elements")


def check_libraries() -> None:
    """Raise UserError if markdownify is missing."""
    try:
        import markdownify  # noqa: F401
    except ImportError:
        raise UserError(f"cleaning HTML needs markdownify: {install('clean')}, or give --html never") from None


def _set_code(soup: Any, block: Any) -> None:
    """Reduce a block to its code, with the language as class; remove the caption and the button."""
    code = block.find("code")
    if code is None:
        return
    classes = " ".join(code.get("class") or [])
    named = re.search(r"\blanguage-([\w+#.-]+)", classes)
    caption = block.find("span") if block.find("button") else None
    shown = caption.get_text().strip() if caption is not None and code not in caption.parents else ""
    language = named[1] if named else shown if re.fullmatch(r"[\w+#.-]*", shown) else ""
    whole = code.get_text()
    block.clear()
    block["class"] = [f"language-{language}"] if language else []
    block.append(soup.new_string(whole))


def _set_formula(element: Any) -> None:
    """Replace a formula, which the page has both rendered and as source, by its source."""
    source = element.find("annotation")
    if source is None:
        return
    parent = element.parent
    sign = "$$" if parent is not None and "katex-display" in (parent.get("class") or []) else "$"
    element.replace_with(f"{sign}{source.get_text().strip()}{sign}")


@cache
def _converter() -> Any:
    from markdownify import ATX, MarkdownConverter

    class Converter(MarkdownConverter):
        """Write Markdown as chat models do: nothing escaped, and fences longer than any in the code."""

        def convert_pre(self, el: Any, text: str, parent_tags: set[str]) -> str:
            code = el.get_text().strip("\n")
            language = next((name[9:] for name in el.get("class") or [] if name.startswith("language-")), "")
            runs = [len(run) for run in re.findall(r"`{3,}", code)]
            fence = "`" * (max(runs, default=2) + 1)
            return f"\n\n{fence}{language}\n{code}\n{fence}\n\n" if code.strip() else "\n\n"

    return Converter(
        heading_style=ATX, bullets="-", escape_asterisks=False, escape_underscores=False, escape_misc=False
    )


class _Shape(HTMLParser):
    """Checks that elements are those of rendered Markdown, closed in order, without text or indentation between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.fits, self._begun = list[str](), True, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = tag in _OF_MARKDOWN and (
            {name for name, _ in attrs} <= _ATTRIBUTES or tag in _VOID | {"svg", "button"}
        )
        self.fits, self._begun = self.fits and known, True
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fits = self.fits and tag in _OF_MARKDOWN

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.fits = False

    def handle_data(self, data: str) -> None:
        if "pre" in self.open:
            return
        beside = not self.open and self._begun and data.strip()
        indented = not data.strip() and re.search(r"\n[ \t]+\Z", data)
        if beside or indented:
            self.fits = False

    def handle_comment(self, data: str) -> None:
        self.fits = False

    def handle_decl(self, decl: str) -> None:
        self.fits = False
