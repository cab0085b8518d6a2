"""rows.json keeps the numbers of rows that pilots have found."""

import json

import pytest

from self_instruct.runs.found_rows import read_found_rows, write_found_rows


def test_the_rows_of_each_hardware_are_kept(tmp_path):
    assert read_found_rows(tmp_path) == {}
    write_found_rows(tmp_path, "one CPU, float32", 4, [(1, 9.04), (2, 17.0)])
    write_found_rows(tmp_path, "a GPU, bfloat16", 512, [(1, 50.0)])
    write_found_rows(tmp_path, "one CPU, float32", 8, [(1, 9.06)])
    assert read_found_rows(tmp_path) == {"one CPU, float32": 8, "a GPU, bfloat16": 512}
    assert json.loads((tmp_path / "rows.json").read_text())["one CPU, float32"] == {
        "rows": 8, "tokens_per_second": {"1": 9.1}
    }  # fmt: skip


@pytest.mark.parametrize(("text", "found"), [
    ("{", {}), ("[1]", {}), ("[" * 100_000, {}), ('{"a": {"rows": NaN}}', {}), ("\ud800", {}),
    ('{"a": {"rows": 3}, "b": {"rows": 0}, "c": {"rows": true}, "d": {}, "e": 4, "f": {"rows": "9"}}', {"a": 3}),
])  # fmt: skip
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path, caplog, text, found):
    (tmp_path / "rows.json").write_bytes(text.encode(errors="surrogatepass"))
    assert read_found_rows(tmp_path) == found
    assert len(caplog.messages) == 1 and "rows.json" in caplog.text
    write_found_rows(tmp_path, "g", 2, [])
    assert read_found_rows(tmp_path) == {**found, "g": 2}
