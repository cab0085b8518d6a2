"""Compressed files, tables, and plain text in a chat template."""

import bz2
import json
import lzma

import pyarrow as pa
import pytest

from self_instruct.datasets.containers import open_container
from self_instruct.datasets.rows import Unreadable
from self_instruct.errors import UserError

LINE = b'{"instruction": "Name a river.", "output": "The Ebro."}\n'
ROW = {"instruction": "Name a river.", "output": "The Ebro."}


@pytest.mark.parametrize(
    "pack", [bz2.compress, lzma.compress, lambda text: pa.Codec("zstd").compress(text, asbytes=True)]
)
def test_compressed_lines_are_read_and_damaged_ones_refused(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(LINE))
    assert [row.value for row in open_container(str(tmp_path / "a")).rows] == [ROW]
    (tmp_path / "b").write_bytes(pack(LINE)[:-9])
    with pytest.raises(UserError, match=r"--input_path .*/b: the .* data is cut or damaged"):
        list(open_container(str(tmp_path / "b")).rows)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_cells_of_csv_and_tsv_files_stay_text(tmp_path, separator):
    lines = [["instruction", "output"], ["Name,\na river", "007"], ["NA", ""], ["short"], ["caf\xe9", "x"]]
    text = "\r\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + text.encode("latin-1"))
    found = list(open_container(str(tmp_path / "a")).rows)
    assert [row.value for row in found if not isinstance(row, Unreadable)] == [
        {"instruction": "Name,\na river", "output": "007"}, {"instruction": "NA", "output": ""}]  # fmt: skip
    assert [row.reason for row in found if isinstance(row, Unreadable)] == ["wrong_cells", "not_utf8"]


@pytest.mark.parametrize("kind", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_and_streams_are_read(tmp_path, kind):
    table = pa.Table.from_pylist([ROW])
    with kind(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table)
    assert [row.value for row in open_container(str(tmp_path / "a.arrow")).rows] == [ROW]


def test_lists_of_turns_are_rows_and_a_plain_chatml_file_is_refused(tmp_path):
    turns = '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]\n'
    (tmp_path / "a").write_text(turns * 2)
    assert [len(row.value["messages"]) for row in open_container(str(tmp_path / "a")).rows] == [2, 2]
    (tmp_path / "b").write_text("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>")
    with pytest.raises(UserError, match="template of ChatML"):
        open_container(str(tmp_path / "b"))


def test_rows_with_chatml_in_a_cell_are_not_taken_for_plain_text(tmp_path):
    text = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>"
    row = json.dumps({"text": text})
    contents = [f'id,text\n1,"{text}"\n', f"[\r\n  {row}\r\n]", f"[\t{row}]", f"cut}}\n{row}\n"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_text(content)
        found = [row for row in open_container(str(tmp_path / str(number))).rows if not isinstance(row, Unreadable)]
        assert [row.value["text"] for row in found] == [text]


@pytest.mark.parametrize(("text", "name"), [("[INST] a [/INST] b", "Llama 2"), ("[|Human|] a\n[|AI|] b", "Baize")])
def test_template_of_plain_text_that_begins_with_a_bracket_is_named(tmp_path, text, name):
    (tmp_path / "a").write_text(text)
    with pytest.raises(UserError, match=f"template of {name}"):
        open_container(str(tmp_path / "a"))
