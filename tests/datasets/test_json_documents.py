"""Intact and damaged JSON lists, splits and several documents in a file."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets import json_documents
from self_instruct.datasets.json_documents import LISTS, Documents
from self_instruct.datasets.rows import LONGEST, Row
from tests.datasets.test_convert import converted, read
from tests.support.runs import rows

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', "\\", "}, {", '{"a": [', "]", "\\\\_"]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUE, max_size=3).map(lambda more: {"instruction": "x", **more}), max_size=6)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
HEADER = st.one_of(PLAIN, st.lists(PLAIN, min_size=1, max_size=2), st.dictionaries(TEXT, PLAIN, max_size=2))
KEYS = st.sampled_from(sorted(LISTS)) | TEXT.map(lambda text: f"_{text}")
MEMBERS = st.lists(st.tuples(KEYS, OBJECTS | HEADER), max_size=4)
DOCUMENT = (
    st.tuples(MEMBERS, OBJECTS, MEMBERS).map(lambda parts: [*parts[0], ("train", parts[1]), *parts[2]]) | OBJECTS
)


def is_rows(value):
    return isinstance(value, list) and not (value and not isinstance(value[0], dict))


def written(document, indent):
    """Return a document as JSON text; keys may repeat, as in real files."""
    if not document or isinstance(document[0], dict):
        return json.dumps(document, indent=indent)
    space = "\n" if indent else ""
    return f"{{{space}" + f",{space} ".join(
        f"{json.dumps(key)}: {json.dumps(value, indent=indent)}" for key, value in document) + f"{space}}}"  # fmt: skip


def read_in_pieces(content, chunk=5, **more):
    """Return all rows of a stream, read in small chunks."""
    before, json_documents._CHUNK = json_documents._CHUNK, chunk
    try:
        return list(Documents(io.BytesIO(content), "f", **more))
    finally:
        json_documents._CHUNK = before


@settings(max_examples=20, deadline=None)
@given(OBJECTS, st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40))
def test_list_rows_equal_those_of_the_json_module(values, indent, ascii, chunk):
    content = json.dumps(values, indent=indent, ensure_ascii=ascii).encode()
    found = read_in_pieces(content, chunk)
    assert [row.value for row in found] == json.loads(content)
    assert [(row.number, row.place) for row in found] == [(at, f"f[{at}]") for at in range(len(values))]


@settings(max_examples=20, deadline=None)
@given(OBJECTS.filter(bool), st.data())
def test_rows_before_damage_are_read_and_damage_is_reported(values, data):
    content = json.dumps(values).encode()
    begins = [len(json.dumps(values[:number]).encode()) for number in range(1, len(values) + 1)]
    at = data.draw(st.integers(1, len(content) - 1))
    found = read_in_pieces(content[:at])
    whole = sum(end - 1 <= at for end in begins)
    assert [row.value for row in found if isinstance(row, Row)] == values[:whole]
    assert len(found) == whole + 1 and not isinstance(found[-1], Row) and found[-1].problem


@settings(max_examples=20, deadline=None)
@given(OBJECTS, st.binary(max_size=30), st.integers(1, 300))
def test_damage_never_raises(values, damage, at):
    content = json.dumps(values).encode()
    for row in read_in_pieces(content[:at] + damage + content[at:], 7):
        assert isinstance(row, Row) or (row.reason and row.place)


def row_of(text):
    """Return a row as JSON text, for values that `json.dumps` does not write."""
    return b'{"instruction": %b}' % text


GOOD = row_of(b'"good"')


@pytest.mark.parametrize(
    "text",
    [b"1" * 400, b"-0", b"-0.0", b"1e400", b"0.1e-5", b"18446744073709551616", b'"\\ud800"', b'"\\udc00"', b'"\\ud83d\\ude00"',
     b'"\\u0000"', b'{"a": 1, "a": 2}', b'"' + b"a" * (LONGEST - 99) + b'"', b"[" * 300 + b"]" * 300],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_values_equal_those_of_the_json_module(text):
    found = list(Documents(io.BytesIO(b"[" + row_of(text) + b", " + GOOD + b",\n]"), "f"))
    assert [repr(one.value) for one in found] == [repr(json.loads(one)) for one in (row_of(text), GOOD)]
    (line,) = read_in_pieces(row_of(text), 1 << 20, spread=True)
    assert repr(line.value) == repr(json.loads(row_of(text)))


def test_nan_and_infinity_are_null_and_counted():
    found = read_in_pieces(b'[{"a": NaN, "b": [-Infinity]}, ' + GOOD + b"]", 1)
    assert [(one.value, one.repairs) for one in found] == [
        ({"a": None, "b": [None]}, ("nan",)), ({"instruction": "good"}, ())]  # fmt: skip


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize(
    ("text", "reason"),
    [(b'"tw" o"', "not_json"), (b"x", "not_json"), (b'"\\_"', "not_json"), (b'"a\nb"', "not_json"), (b'"\x00"', "not_json"),
     (b"1" * 5000, "not_json"), (b"[" * 100_000, "not_json"), (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not_json"),
     (b'"' + b"a" * 100_000_000 + b'"', "too_long"), (b'"x', "not_json")],
    ids=lambda value: repr(value[:20]),
)  # fmt: skip
def test_broken_row_is_located_and_reading_continues_at_the_next(text, reason, spread):
    content = b"%b %b,\n%b,\n%b %b" % (b" " if spread else b"[", GOOD, row_of(text), GOOD, b" " if spread else b"]")
    stream = io.BytesIO(content)
    first, broken, last = Documents(stream, "f", spread=spread)
    assert first.value == last.value == {"instruction": "good"} and not stream.read()
    assert (broken.place, broken.reason, last.place) == ("f[1]", reason, "f[2]")
    assert row_of(text)[:15].decode().strip() in broken.text and len(broken.text) <= 2000


@pytest.mark.parametrize("broken", [b'{"other": x}', b"{broken}", b'{"instruction": "cut', b"x"])
def test_reading_ends_if_no_row_with_the_same_key_follows(broken):
    stream = io.BytesIO(b"[" + GOOD + b", " + broken + b", " + b"[1]" * 100_000)
    first, damaged = Documents(stream, "f")
    assert first.value == {"instruction": "good"} and not stream.read()
    assert damaged.place == "f[1]" and damaged.problem.endswith("reading ends here")


def test_cost_per_broken_row_is_constant(monkeypatch):
    passed = []
    skip = json_documents._Text.skip_row
    monkeypatch.setattr(json_documents, "_CHUNK", 1000)
    monkeypatch.setattr(
        json_documents._Text, "skip_row", lambda text, key: (skip(text, key), passed.append(len(text.content)))[0]
    )
    rows = list(Documents(io.BytesIO(b"[" + b",".join([b'{"a": x}'] * 3_000) + b"]"), "f"))
    assert len(rows) == 3_000 and {row.reason for row in rows} == {"not_json"}
    assert max(passed) <= 2 * json_documents._CHUNK  # never the whole list


@pytest.mark.parametrize("more", [1, 5])
def test_white_space_inside_a_bracket_is_read_up_to_the_limit(more):
    stream = io.BytesIO(b'{"train": [' + b" " * (more * LONGEST // 2) + GOOD + b"]}")
    (found,) = Documents(stream, "f")
    assert isinstance(found, Row) if more == 1 else found.reason == "too_long"


def test_invalid_utf8_is_shown_escaped():
    first, behind = Documents(io.BytesIO(b"[" + GOOD + b'] {"a": "\\ud800"}'), "f")
    assert first.value == {"instruction": "good"} and (behind.reason, behind.text) == (
        "after_the_list",
        r'{"a": "\ud800"}',
    )


def test_row_with_invalid_utf8_is_skipped():
    found = read_in_pieces(b"[" + GOOD + b", " + row_of(b'"caf\xe9"') + b", " + GOOD + b"]")
    assert [getattr(one, "reason", "") for one in found] == ["", "not_utf8", ""] and found[1].place == "f[1]"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(DOCUMENT, min_size=1, max_size=3),
    st.sampled_from([None, 1]),
    st.integers(1, 60),
    st.sampled_from(["", "\n", ","]),
)
def test_every_row_of_several_documents_is_read(documents, indent, chunk, between):
    content = between.join(written(document, indent) for document in documents).encode()
    found = read_in_pieces(content, chunk)
    wanted = []
    for document in documents:
        for key, value in [("", document)] if not document or isinstance(document[0], dict) else document:
            wanted += [(key, row) for row in value] if is_rows(value) else []
    assert [row.value for row in found] == [row for _, row in wanted]
    parts = {"instances", "data", "rows", "examples", "records"}
    assert [row.part for row in found] == ["" if key in parts else key for key, _ in wanted]
    assert [row.number for row in found] == list(range(len(found))) and len({row.place for row in found}) == len(found)


@settings(max_examples=25, deadline=None)
@given(st.lists(DOCUMENT, min_size=1, max_size=2), st.binary(max_size=20), st.integers(0, 300))
def test_damage_never_raises_and_is_always_reported(documents, damage, at):
    content = "\n".join(written(document, None) for document in documents).encode()
    for row in Documents(io.BytesIO(content[:at] + damage + content[at:]), "f"):
        assert isinstance(row, Row) or (row.reason and row.place and row.problem)
    cut = list(Documents(io.BytesIO(content[: len(content) - 1]), "f"))
    assert not isinstance(cut[-1], Row)


def row(text):
    return {"instruction": text, "output": text}


PAIRS = {"type": "text2text", "instances": [{"input": "a", "output": "b"}]}
CHAT = {"type": "conversation", "instances": [{"messages": [{"role": "user", "content": "c"}]}]}


@pytest.mark.parametrize(
    ("content", "kind", "wanted"),
    [
        (json.dumps({"train": [row("a"), row("b")], "test": [row("c")]}), "'train' in an object",
         [("a", "f.json#train", 0), ("b", "f.json#train", 1), ("c", "f.json#test", 2)]),
        (json.dumps({"version": "1", "info": {"by": "me"}, "test": [], "validation": [row("a")], "n": 1}, indent=2), "'test'",
         [("a", "f.json#validation", 0)]),
        (json.dumps({"data": [row("a")]}) + "\n" + json.dumps({"data": [row("b")]}), "'data'",
         [("a", "f.json", 0), ("b", "f.json", 1)]),
        (json.dumps(PAIRS) + "\n" + json.dumps(CHAT), "'instances'", [("a", "f.json", 0), ("c", "f.json", 1)]),
        (json.dumps(CHAT, indent=1) + json.dumps(PAIRS, indent=1), "'instances'", [("c", "f.json", 0), ("a", "f.json", 1)]),
        (json.dumps([row("a")]) + json.dumps([row("b")]), "JSON list", [("a", "f.json", 0), ("b", "f.json", 1)]),
        # objects that are rows although they contain lists
        (json.dumps({**row("a"), "examples": [row("x")]}), "JSON lines", [("a", "f.json", 0)]),
        (json.dumps({"examples": [row("x")], **row("a")}, indent=1), "several lines", [("a", "f.json", 0)]),
    ],
)  # fmt: skip
def test_all_lists_of_a_file_are_read(tmp_path, content, kind, wanted):
    source = tmp_path / "f.json"
    source.write_text(content)
    code, report, _ = converted(source, "jsonl", tmp_path / "o.jsonl")
    assert code == 0 and kind in report["inputs"][0]["container"]
    assert report["inputs"][0]["written"] == len(wanted) == len(rows(tmp_path / "o.jsonl"))
    found = [(one.instruction, one.path.rpartition("/")[2], one.row) for one in read(tmp_path / "o.jsonl")]
    assert found == wanted
