"""JSON lists as a stream, whole and damaged."""

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets import json_stream
from self_instruct.datasets.json_documents import Documents
from self_instruct.datasets.json_text import TolerantDecoder
from self_instruct.datasets.rows import Row

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', "\\", "}, {", '{"a": [', "]", "\\\\_"]
)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(TEXT, VALUE, max_size=3).map(lambda more: {"instruction": "x", **more}), max_size=6)


def stream(content, monkeypatch_chunk=5):
    """All that a list holds, read in small pieces."""
    before, json_stream._CHUNK = json_stream._CHUNK, monkeypatch_chunk
    try:
        return list(Documents(io.BytesIO(content), "f"))
    finally:
        json_stream._CHUNK = before


@settings(max_examples=50, deadline=None)
@given(OBJECTS, st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40))
def test_a_list_is_read_as_json_reads_it(values, indent, ascii, chunk):
    content = json.dumps(values, indent=indent, ensure_ascii=ascii).encode()
    found = stream(content, chunk)
    assert [row.value for row in found] == json.loads(content)
    assert [(row.number, row.place) for row in found] == [(at, f"f[{at}]") for at in range(len(values))]


@settings(max_examples=50, deadline=None)
@given(OBJECTS.filter(bool), st.data())
def test_what_stands_before_damage_is_read_and_damage_is_told(values, data):
    content = json.dumps(values).encode()
    begins = [len(json.dumps(values[:number]).encode()) for number in range(1, len(values) + 1)]
    at = data.draw(st.integers(1, len(content) - 1))
    found = stream(content[:at])
    whole = sum(end - 1 <= at for end in begins)
    assert [row.value for row in found if isinstance(row, Row)] == values[:whole]
    assert len(found) == whole + 1 and not isinstance(found[-1], Row) and found[-1].problem


@settings(max_examples=50, deadline=None)
@given(OBJECTS, st.binary(max_size=30), st.integers(1, 300))
def test_no_damage_ends_the_reading_with_an_error(values, damage, at):
    content = json.dumps(values).encode()
    for row in stream(content[:at] + damage + content[at:], 7):
        assert isinstance(row, Row) or (row.reason and row.place)


def test_reading_goes_on_behind_a_row_that_is_not_json():
    rows = [
        b'{"instruction": "one"}',
        b'{"instruction": "tw" o"}',
        b'{"instruction": {"instruction": "three}}',
        b'{"instruction": "four"}',
    ]
    found = stream(b"[" + b", ".join(rows) + b"]")
    assert [row.value["instruction"] if isinstance(row, Row) else row.reason for row in found] == [
        "one",
        "not_json",
        "not_json",
        "four",
    ]


@given(TEXT)
def test_repairs_keep_what_was_meant(text):
    decoder = TolerantDecoder()
    decoder.begin()
    assert decoder.decode(json.dumps({"a": text})) == {"a": text} and not decoder.repairs
    assert decoder.decode('{"a": "\\_ \\u12 \\\' \\n\n", "b": NaN}') == {"a": "\\_ \\u12 ' \n\n", "b": None}
    assert decoder.repairs == {"escape", "control_character", "nan"}
