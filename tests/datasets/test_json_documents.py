"""Documents of lists, splits and several documents in a file: rows in are rows out."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets import json_stream
from self_instruct.datasets.json_documents import LISTS, Documents
from self_instruct.datasets.rows import Row
from tests.datasets.test_convert import converted, read
from tests.datasets.test_json_stream import OBJECTS, TEXT
from tests.support.runs import rows

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
    """A document as JSON; keys may stand twice, as files may have them."""
    if not document or isinstance(document[0], dict):
        return json.dumps(document, indent=indent)
    space = "\n" if indent else ""
    return f"{{{space}" + f",{space} ".join(
        f"{json.dumps(key)}: {json.dumps(value, indent=indent)}" for key, value in document) + f"{space}}}"  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(DOCUMENT, min_size=1, max_size=3),
    st.sampled_from([None, 1]),
    st.integers(1, 60),
    st.sampled_from(["", "\n", ","]),
)
def test_rows_in_are_rows_out_whatever_the_nesting(documents, indent, chunk, between):
    content = between.join(written(document, indent) for document in documents).encode()
    before, json_stream._CHUNK = json_stream._CHUNK, chunk
    try:
        found = list(Documents(io.BytesIO(content), "f"))
    finally:
        json_stream._CHUNK = before
    wanted = []
    for document in documents:
        for key, value in [("", document)] if not document or isinstance(document[0], dict) else document:
            wanted += [(key, row) for row in value] if is_rows(value) else []
    assert [row.value for row in found] == [row for _, row in wanted]
    parts = {"instances", "data", "rows", "examples", "records"}
    assert [row.part for row in found] == ["" if key in parts else key for key, _ in wanted]
    assert [row.number for row in found] == list(range(len(found))) and len({row.place for row in found}) == len(found)


@settings(max_examples=100, deadline=None)
@given(st.lists(DOCUMENT, min_size=1, max_size=2), st.binary(max_size=20), st.integers(0, 300))
def test_no_damage_ends_the_reading_or_is_passed_over(documents, damage, at):
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
        # rows, and no documents, whatever lists they have
        (json.dumps({**row("a"), "examples": [row("x")]}), "JSON lines", [("a", "f.json", 0)]),
        (json.dumps({"examples": [row("x")], **row("a")}, indent=1), "several lines", [("a", "f.json", 0)]),
    ],
)  # fmt: skip
def test_files_of_several_lists_are_read_whole(tmp_path, content, kind, wanted):
    source = tmp_path / "f.json"
    source.write_text(content)
    code, report, _ = converted(source, "jsonl", tmp_path / "o.jsonl")
    assert code == 0 and kind in report["inputs"][0]["container"]
    assert report["inputs"][0]["written"] == len(wanted) == len(rows(tmp_path / "o.jsonl"))
    found = [(one.instruction, one.path.rpartition("/")[2], one.row) for one in read(tmp_path / "o.jsonl")]
    assert found == wanted
