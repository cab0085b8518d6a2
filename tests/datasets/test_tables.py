"""Table cells as JSON, through every command that reads tables."""

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from self_instruct.commands import curate as post_processing
from self_instruct.commands.report import main as report
from self_instruct.datasets.rows import Unreadable
from self_instruct.datasets.tables import folder_rows, parquet_rows
from tests.support.commands import run_command as main
from tests.support.dataset_files import LONGER
from tests.support.runs import rows

ODD = {
    "instruction": "Name a river.", "output": "The Rhine.", "asked": datetime(2023, 4, 1, 12, 30), "day": date(2023, 4, 1),
    "hour": time(9, 5), "price": Decimal("1.20"), "image": b"\xff\x00", "took": timedelta(seconds=5), "score": float("nan"),
    "nested": [{"when": date(2020, 1, 1), "values": [1.5, float("nan"), float("inf")]}],
}  # fmt: skip
FIELDS = {
    "asked": "2023-04-01T12:30:00", "day": "2023-04-01", "hour": "09:05:00", "price": "1.20", "image": "/wA=",
    "took": "0:00:05", "score": None, "nested": [{"when": "2020-01-01", "values": [1.5, None, None]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One table as a Parquet file and as a folder of the library."""
    place, table = (
        tmp_path_factory.mktemp("tables"),
        pa.Table.from_pylist([ODD, {**ODD, "instruction": "Name a lake."}]),
    )
    pq.write_table(table, place / "odd.parquet")
    datasets.Dataset(table).save_to_disk(str(place / "odd"))
    return place


@pytest.mark.parametrize("name", ["odd.parquet", "odd"])
def test_every_command_reads_dates_numbers_and_bytes(folder, tmp_path, name, capsys):
    source, out = str(folder / name), tmp_path / "o.jsonl"
    assert main(["convert", source, "--to", "jsonl", "--output", str(out)]) == 0
    for row in rows(out):
        assert json.loads(row["provenance"]["fields"]) == FIELDS
    shown = capsys.readouterr().out
    assert "2 rows had bytes" in shown and "2 rows had NaN or infinity" in shown
    assert main(["card", source, "--output", str(tmp_path / "card")]) == 0
    assert post_processing.main(["--input_path", source, "--output_path", str(tmp_path / "p.jsonl")]) == 0
    assert json.loads((tmp_path / "p.report.json").read_text())["inputs"][0]["lines"] == 2
    assert name == "odd" or report([source, "--output", str(tmp_path / "report.html")]) == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(st.characters(codec="utf-8"), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
CELLS = st.one_of(
    st.datetimes(), st.dates(), st.times(), st.binary(max_size=4), st.floats(), st.decimals(-999, 999, places=2), JSON
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(CELLS, min_size=1, max_size=4), deep=st.booleans())
def test_any_cell_becomes_equivalent_json(cells, deep, tmp_path):
    wrapped = [[{"x": cell}] if deep else cell for cell in cells]
    try:
        table = pa.table({f"c{at}": pa.array([cell]) for at, cell in enumerate(wrapped)})
        pq.write_table(table, tmp_path / "t.parquet")
    except (pa.ArrowException, TypeError):  # a table cannot hold this value
        return
    [row] = parquet_rows(str(tmp_path / "t.parquet"), "IN")
    assert json.loads(json.dumps(row.value, allow_nan=False)) == row.value
    for cell, (_, found) in zip(cells, row.value.items(), strict=True):
        said = found[0]["x"] if deep and found else found
        if isinstance(cell, datetime | date | time):
            assert type(cell).fromisoformat(said) == cell
        elif isinstance(cell, bytes):
            assert base64.b64decode(said) == cell
        elif isinstance(cell, Decimal):
            assert Decimal(said) == cell
        elif isinstance(cell, float):
            assert said == (cell if math.isfinite(cell) else None)
        elif isinstance(cell, str | int):
            assert said == cell


def test_cell_that_python_cannot_hold_loses_only_its_row(tmp_path):
    far = pa.array([1, 10**18, 2], pa.timestamp("us"))
    pq.write_table(pa.table({"instruction": ["a", "b", "c"], "when": far}), tmp_path / "far.parquet")
    found = list(parquet_rows(str(tmp_path / "far.parquet"), "IN"))
    assert [isinstance(row, Unreadable) for row in found] == [False, True, False]
    assert found[1].reason == "wrong_value" and found[1].place.endswith("far.parquet[1]") and found[2].number == 2


def test_special_columns_of_the_datasets_library_are_read(tmp_path):
    """Arrays, undecoded images, objects with varying keys (stored as JSON), and a dataset with a format set."""
    features = {
        "grid": datasets.Array2D((1, 2), "int32"),
        "image": datasets.Image(),
        "more": datasets.List(datasets.Json()),
    }
    columns = {"grid": [[[1, 2]]] * 3, "image": [{"bytes": b"no image", "path": None}] * 3, "more": [LONGER] * 3}
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    table.select([2, 0]).with_format("numpy", columns=["grid"]).save_to_disk(str(tmp_path / "saved"))
    image = {"bytes": base64.b64encode(b"no image").decode(), "path": None}
    found = list(folder_rows(str(tmp_path / "saved"), None, "IN"))
    assert [row.value for row in found] == [{"grid": [[1, 2]], "image": image, "more": LONGER}] * 2
    table.to_parquet(str(tmp_path / "t.parquet"))
    assert [row.value["more"] for row in parquet_rows(str(tmp_path / "t.parquet"), "IN")] == [LONGER] * 3
