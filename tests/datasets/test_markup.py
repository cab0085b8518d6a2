"""Recognising saved HTML, and converting it to Markdown."""

from contextlib import suppress

import pytest

from self_instruct.datasets.markup import NotConverted, is_page, is_rendering, speaks_of_html, to_markdown
from tests.support.hostile_texts import grows_too_fast, repeated

PAGE = '<div class="markdown prose w-full break-words dark:prose-invert dark">'
BLOCK = (
    '<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center"><span class="">python</span>'
    '<button class="flex ml-auto"><svg stroke="x"><path d="M16 4"></path></svg>Copy code</button></div>'
    '<div class="p-4"><code class="!whitespace-pre hljs language-python"><span class="hljs-keyword">if</span> a &lt; b '
    "<span>and</span> c &gt; d:\n    x[i] = a_b\n\n\n    y = 1\n</code></div></div></pre>"
)
CODE = [
    "for (i = 0; i < n; i++) { if (a<b && c>d) { v = vector<int>(); } }",
    "#include <iostream>\nint main() { std::cout << 1; }",
    "def f(x: dict[str, int]) -> None:\n    return x <y> z",
    '<div class="card">\n  <p>Hello</p>\n</div>',
    '<div id="root"><p>Hello</p></div>',
    "<p onclick='go()'>Hello</p>",
    "<html><body><p>Hello</p></body></html>",
    "<!-- a note --><p>Hello</p>",
    "<ul>\n\t<li>one</li>\n</ul>",
    '<form action="/x"><input name="q"></form>',
    "<p>Hello</p> is a paragraph",
    "Use <p>Hello</p>",
    "```html\n<p>Hello</p>\n```",
    "<p>Hello",
    "<p>Hello</div>",
    "Vec<Option<T>>",
    "<T>",
    "",
]


@pytest.mark.parametrize("text", CODE)
def test_code_and_text_about_html_are_not_converted(text: str) -> None:
    assert not is_page(text)
    assert not is_rendering(text)


@pytest.mark.parametrize("text", [
    "<p>Hello <strong>you</strong> &amp; me</p>",
    "<p>One</p>\n<ol>\n<li>a</li>\n<li>b</li>\n</ol>",
    '<h2>Title</h2><p><a href="https://a.b" target="_new">here</a><br></p>',
    "<pre><code class=\"language-c\">if (a &lt; b) {\n    f();\n}\n</code></pre>",
])  # fmt: skip
def test_rendered_markdown_is_recognised(text: str) -> None:
    assert is_rendering(text) and not is_page(text)


@pytest.mark.parametrize("begin", [PAGE, f"<div>2 / 3{PAGE}", "1 / 1" + PAGE, '<p class="whitespace-pre-wrap">'])
def test_chat_page_is_recognised_by_its_classes(begin: str) -> None:
    assert is_page(f"{begin}<p>Hello</p>")


@pytest.mark.parametrize(("text", "speaks"), [
    ("How do I centre a <div>?", True), ("Write a web page", True), ("Explain HTML5", True), ("Is a<b here?", False),
    ("Sort the list", False), ("x < 3 and y > 2", False),
])  # fmt: skip
def test_questions_about_html_are_recognised(text: str, speaks: bool) -> None:
    assert speaks_of_html(text) is speaks


@pytest.mark.parametrize(("html", "markdown"), [
    ("<p>snake_case *a* 1. &lt;b&gt; [x]</p>", "snake_case *a* 1. <b> [x]"),
    ("<h2>T</h2><p>a <em>b</em> <code>c_d</code></p>", "## T\n\na *b* `c_d`"),
    ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"),
    ("<ol><li><p>a</p></li><li><p>b</p></li></ol>", "1. a\n2. b"),
    ("<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>", "| a |\n| --- |\n| 1 |"),
    (f"<p>So:</p>{BLOCK}", "So:\n\n```python\nif a < b and c > d:\n    x[i] = a_b\n\n\n    y = 1\n```"),
    ("<pre><code>a\n```\nb</code></pre>", "````\na\n```\nb\n````"),
    ("<pre>plain\n  text</pre>", "```\nplain\n  text\n```"),
    ("<pre><code> \n</code></pre><p>x</p>", "x"),
    ('<p>so <span class="math"><span class="katex"><span><math><mi>x</mi><annotation encoding="application/x-tex">x^2'
     '</annotation></math></span><span aria-hidden="true">x2</span></span></span></p>', "so $x^2$"),
    ('<span class="katex-display"><span class="katex"><annotation>y</annotation></span></span>', "$$y$$"),
    ("<p>a</p><script>alert(1)</script><style>p {}</style>", "a"),
])  # fmt: skip
def test_html_becomes_markdown(html: str, markdown: str) -> None:
    assert to_markdown(html).strip() == markdown


def test_deeply_nested_html_raises_not_converted() -> None:
    with pytest.raises(NotConverted, match="over 200 levels"):
        to_markdown("<div>" * 5000 + "x")


KATEX = '<b class="katex">'


@pytest.mark.parametrize("end", ["", ">", "</p>"])
def test_the_time_of_converting_is_linear_in_the_length_of_a_text(end):
    for unit in (
        "<img ",
        '<a href="',
        "<pre>",
        "<!--",
        "<![CDATA[",
        "<?",
        "<p>",
        "</p>",
        "<pre></pre>",
        '<b class="katex">',
        "&#",
        "<",
    ):

        def work(size, unit=unit):
            text = f"<p>{repeated(unit, 4 * size)}{end}"
            is_rendering(text)
            with suppress(NotConverted):
                to_markdown(text)

        assert grows_too_fast(work) is None, unit
