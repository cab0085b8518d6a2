"""The report command and its analysis: one file for one or several inputs, reproducible bytes, pictures, and user errors."""

import base64
import gzip
import json
import re
import struct

import numpy as np
import pytest

from self_instruct.commands.report import main
from self_instruct.errors import UserError
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.verb_noun import VerbNoun
from self_instruct.records import Nearest
from self_instruct.report.analysis import Analysis, neighbours, stored_vectors
from self_instruct.report.html import environment, write_report
from self_instruct.report.inputs import read_inputs
from self_instruct.report.payload import Payload
from self_instruct.report.projection import project, sample
from self_instruct.report.sections import share
from self_instruct.runs.layout import OutputPaths
from tests.support.curation_runs import near_copies, written
from tests.support.report_files import HOSTILE, HashedEncoder, hostile_file, with_vectors


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Make a file of hostile texts with cached vectors."""
    path = hostile_file(tmp_path_factory.mktemp("report") / "hostile.jsonl")
    with_vectors(path, OutputPaths(path).vectors)
    return path


def records(page: bytes) -> dict:
    packed = re.search(rb'id="packed">([A-Za-z0-9+/=]*)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))["sources"][0]


def test_page_has_all_records_and_figures_and_is_reproducible(hostile, tmp_path, capsys):
    output, pictures = tmp_path / "out.html", tmp_path / "pictures"
    assert main([str(hostile), "--output", str(output), "--projection", "pca", "--figures_dir", str(pictures)]) == 0
    first = output.read_bytes()
    assert f"{len(HOSTILE) + 61} records" in capsys.readouterr().out
    columns = records(first)
    assert columns["instruction"][: len(HOSTILE)] == HOSTILE
    assert len(columns["instruction"][len(HOSTILE)]) == 20_000 < columns["length"][len(HOSTILE)]
    # No text of a record is markup: the scripts are ours, and all other text is escaped.
    assert len(re.findall(rb"<script", first)) == len(re.findall(rb"</script", first)) == 5
    assert b"<img src=x" not in first
    assert "\ud800" not in first.decode("utf-8")
    assert main([str(hostile), "--output", str(output), "--projection", "pca"]) == 0
    assert output.read_bytes() == first
    figures = json.loads(re.search(rb'id="figures">(.*?)</script>', first, re.S)[1])
    assert (
        {path.stem for path in pictures.iterdir()}
        == set(figures)
        >= {"funnel", "map_1", "verbs_1", "similarity_rouge_l"}
    )
    for path in pictures.iterdir():
        content = path.read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        assert content.startswith(b"\x89PNG") and width > 1500 and height > 300, path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--output_path is missing"),
        (["--output", "{file}"], "would be overwritten"),
        (["--output", "{folder}"], "cannot be written"),
        (["--output", "x.html", "--projection", "umap"], "must be one of tsne, pca"),
        (["--output", "x.html", "--map_points", "1"], "must be at least 2"),
        (["--output", "x.html", "--figure_dir", "x"], "did you mean --figures_dir"),
        (["{file}", "{file}", "{file}", "{file}", "--output", "x.html"], "at most 4"),
    ],
)
def test_user_errors_are_reported_before_anything_is_drawn(tmp_path, options, message):
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    given = [option.format(file=path, folder=tmp_path) for option in options]
    first, rest = (
        ([str(path), given[0]], given[1:]) if given and not given[0].startswith("--") else ([str(path)], given)
    )
    with pytest.raises(UserError, match=re.escape(message)):
        main([*first, *rest])


def test_write_report_prints_nothing_and_leaves_out_the_map_without_vectors(tmp_path, capsys):
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    report = write_report([str(path)], tmp_path / "a.html", projection="pca")
    assert (report.path, report.records) == (tmp_path / "a.html", 1) and "has no vectors" in report.no_map
    assert report.figures == report.path.read_text().count("<figure ") > 0
    assert "".join(capsys.readouterr()) == ""
    assert 'id="map"' not in report.path.read_text() and 'href="#map"' not in report.path.read_text()


def test_progress_of_encoding_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("self_instruct.report.analysis.LazyEncoder", lambda name: HashedEncoder())
    monkeypatch.setattr("self_instruct.report.analysis.identity_of", lambda name: "hashed")
    path = written(tmp_path / "a.jsonl", *({"instruction": f"Do {n}.", "output": "x"} for n in range(1500)))
    assert main([str(path), "--output", str(tmp_path / "a.html"), "--embeddings", "--projection", "pca"]) == 0
    shown = capsys.readouterr().err
    assert shown == "encoded 0 of 1,500 texts\nencoded 1,024 of 1,500 texts\nencoded 1,500 of 1,500 texts\n"


@pytest.mark.parametrize("output", ["a.html", "a"])
def test_report_does_not_overwrite_the_vectors_of_a_curated_file_of_the_same_name(tmp_path, monkeypatch, output):
    monkeypatch.setattr("self_instruct.report.analysis.LazyEncoder", lambda name: HashedEncoder())
    monkeypatch.setattr("self_instruct.report.analysis.identity_of", lambda name: "hashed")
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    cache = tmp_path / "a.embeddings.cache"
    cache.write_text('{"model": "another", "dimensions": 1}\n')
    assert main([str(path), "--output", str(tmp_path / output), "--embeddings", "--projection", "pca"]) == 0
    assert cache.read_text() == '{"model": "another", "dimensions": 1}\n'
    assert (tmp_path / "a.report_embeddings.cache").is_file()


def test_unwritable_figures_dir_is_reported_after_the_page_is_written(tmp_path):
    path = written(tmp_path / "a.jsonl", {"instruction": "Do something good.", "output": "x"})
    with pytest.raises(UserError, match=r"--figures_dir .* cannot be written"):
        main([str(path), "--output", str(tmp_path / "a.html"), "--figures_dir", str(path / "in_a_file")])
    assert (tmp_path / "a.html").stat().st_size > 500_000


def analysis_of(path, vectors=None) -> Analysis:
    [source] = read_inputs([str(path)])
    return Analysis([source], [[VerbNoun(None, None)] * len(source.rows)], [neighbours(source, vectors)], None)


def test_neighbours_by_words_match_an_exhaustive_search(tmp_path):
    analysis = analysis_of(written(tmp_path / "a.jsonl", *near_copies(80)))
    index = RougeIndex()
    for row, near in zip(analysis.inputs[0].rows, analysis.neighbours[0].words, strict=True):
        nearest = index.nearest(row.record.task)
        assert near == (nearest if nearest and nearest.score > 0 else None)
        index.add([row.record.id], [row.record.task])


def test_neighbours_by_meaning_have_the_highest_cosine_of_earlier_records(hostile):
    vectors = stored_vectors(read_inputs([str(hostile)])).vectors[0]
    found = analysis_of(hostile, vectors).neighbours[0].meaning
    products = np.tril(vectors.astype(np.float64) @ vectors.T.astype(np.float64), -1) - 2 * np.triu(
        np.ones((len(vectors),) * 2)
    )
    assert found[0] is None
    for near, row in zip(found[1:], products[1:], strict=True):
        assert near.score == pytest.approx(row.max(), abs=1e-6)


def test_incomplete_vectors_or_vectors_of_two_models_give_no_map_and_a_reason(hostile, tmp_path):
    other = written(tmp_path / "b.jsonl", *near_copies(20))
    sources = read_inputs([str(hostile), str(other)])
    assert stored_vectors(sources).reason == "b.jsonl has no vectors; give --embeddings to encode them."
    with_vectors(other, OutputPaths(other).vectors, "another")
    sources = read_inputs([str(hostile), str(other)])
    assert "different models (another, hashed)" in stored_vectors(sources).reason
    written(other, *near_copies(30))
    assert "vectors for only" in stored_vectors(read_inputs([str(other)])).reason


def test_texts_are_cut_to_fit_and_the_cut_ones_are_counted(tmp_path):
    rng = np.random.default_rng(0)
    texts = ["".join(map(chr, rng.integers(97, 123, 3000))) for _ in range(30)]
    path = written(tmp_path / "a.jsonl", *({"instruction": f"Do {text}", "output": text} for text in texts))
    analysis = analysis_of(path)
    whole = Payload(analysis)
    assert (whole.cut, whole.note) == (0, "")
    tight = Payload(analysis, room=60_000)
    assert len(tight.text) <= 60_000
    assert tight.cut == 30
    assert tight.note.startswith("Texts of 30 records are cut to")
    smallest = Payload(analysis, room=1)
    assert smallest.longest == (200, 80)


def test_projection_is_reproducible_and_keeps_clusters_apart():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(2, 20))
    vectors = np.concatenate([centre + 0.05 * rng.normal(size=(30, 20)) for centre in centres]).astype(np.float32)
    for method in ("pca", "tsne"):
        points = project(vectors, method)
        assert np.array_equal(points, project(vectors, method))
        assert np.abs(points).max() == pytest.approx(1.0)
        apart = np.linalg.norm(points[:30].mean(axis=0) - points[30:].mean(axis=0))
        assert apart > 2 * max(points[:30].std(axis=0).max(), points[30:].std(axis=0).max())


@pytest.mark.parametrize("number", [1, 2, 5, 11])
def test_few_or_equal_vectors_are_projected(number):
    assert np.isfinite(project(np.ones((number, 3), np.float32), "tsne")).all()
    assert project(np.ones((number, 1), np.float32), "pca").shape == (number, 2)


def test_sample_is_evenly_spread_and_never_empty():
    assert sample(10, 100, 1.0).tolist() == list(range(10))
    assert sample(1000, 100, 0.5)[[0, -1]].tolist() == [0, 999]
    assert len(sample(1000, 100, 0.5)) == 50
    assert sample(5, 2, 0.01).tolist() == [0]


def rendered(template: str, **values: object) -> str:
    head = "{% from 'macros.html.jinja' import text %}" if "text(" in template else ""
    return environment().from_string(head + template).render(**values)


def test_templates_escape_text_and_mark_cuts():
    assert rendered("{{ value }}", value="<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"
    assert rendered("{{ value|cut(9) }}", value="a\x00b\ud800") == "a\ufffdb\ufffd"
    assert "cut: 1,000 characters" in rendered("{{ text(value) }}", value="<" * 1000)
    assert rendered("{{ text(value) }}", value="x") == '<div class="text" dir="auto">x</div>'
    assert rendered("{{ value|tojson }}", value="</script><!--'&\ud800").isascii()
    assert not set("<>&'") & set(rendered("{{ value|tojson }}", value="</script><!--'&"))
    assert [share(part) for part in (0, 0.0001, 0.123)] == ["0.0%", "under 0.1%", "12.3%"]


def test_neighbour_is_packed_as_row_number_or_id(tmp_path):
    path = written(
        tmp_path / "a.jsonl",
        {"id": "a", "instruction": "Do something good.", "provenance": {"most_similar": {"id": "seed", "score": 0.5}}},
        {"id": "b", "instruction": "Do something else.", "provenance": {"most_similar": {"id": "a", "score": 0.25}}},
    )
    analysis = analysis_of(path)
    assert analysis.neighbours[0].words == [Nearest("seed", 0.5), Nearest("a", 0.25)]
    columns = json.loads(gzip.decompress(base64.b64decode(Payload(analysis).text)))["sources"][0]
    assert columns["words"] == [["seed", 0.5], [0, 0.25]]
