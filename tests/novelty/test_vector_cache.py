"""The vector cache on disk."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from self_instruct.novelty.vector_cache import FILE_NAME, CachedEncoder

TEXTS = ["one", "two", "three", "\ud800", ""]


class Hashed:
    """Encode each text as its own unit vector, and record the texts."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        seeds = [sum(map(ord, text)) + len(text) for text in texts]
        rows = np.array([np.random.default_rng(seed).normal(size=6) for seed in seeds], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def encoder_of(folder: Path, identity: str = "model 1", writes: bool = True) -> tuple[CachedEncoder, Hashed]:
    inner = Hashed()
    return CachedEncoder(inner, identity, folder / FILE_NAME, writes), inner


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    encoder, _ = encoder_of(tmp_path)
    encoder.encode(TEXTS[:3])
    encoder.encode([*TEXTS[2:], *TEXTS])
    encoder.encode(["the last call writes what came before"])
    return tmp_path


def test_encoded_texts_are_not_encoded_again(filled: Path) -> None:
    encoder, inner = encoder_of(filled)
    assert np.array_equal(encoder.encode(TEXTS), Hashed().encode(TEXTS))
    assert inner.asked == []


def test_new_texts_are_encoded_once_in_one_call(filled: Path) -> None:
    encoder, inner = encoder_of(filled)
    mixture = ["new", "one", "newer", "new", "two"]
    assert np.array_equal(encoder.encode(mixture), Hashed().encode(mixture))
    assert inner.asked == [["new", "newer"]]
    encoder.encode(mixture)
    assert len(inner.asked) == 1


def test_nothing_is_written_before_the_second_call(tmp_path: Path) -> None:
    encoder, _ = encoder_of(tmp_path / "made later")
    encoder.encode(TEXTS)
    (tmp_path / "made later").mkdir()
    encoder.encode(["other"])
    assert encoder_of(tmp_path / "made later")[0].encode(TEXTS).shape == (5, 6)


def test_a_reader_leaves_the_file_as_it_is(filled: Path) -> None:
    before = (filled / FILE_NAME).read_bytes()
    encoder, inner = encoder_of(filled, writes=False)
    for _ in range(3):
        encoder.encode(["new", "one"])
    assert (filled / FILE_NAME).read_bytes() == before and inner.asked == [["new"]] * 3
    reader, _ = encoder_of(filled / "none", writes=False)
    assert reader.encode(["one"]).shape == (1, 6) and not (filled / "none").exists()


def test_vectors_of_another_model_are_not_used(filled: Path) -> None:
    encoder, inner = encoder_of(filled, "model 2")
    encoder.encode(TEXTS)
    encoder.encode(["more"])
    assert inner.asked[0] == TEXTS
    again, inner = encoder_of(filled, "model 2")
    again.encode(TEXTS)
    assert inner.asked == []


@pytest.mark.parametrize("lost", [1, 15, 16, 17, 39, 41, 100])
def test_a_half_written_row_is_encoded_again(filled: Path, lost: int) -> None:
    path = filled / FILE_NAME
    os.truncate(path, path.stat().st_size - lost)
    for expected in (min(5, 1 + (lost - 1) // 40), 0):
        encoder, inner = encoder_of(filled)
        assert np.array_equal(encoder.encode(TEXTS), Hashed().encode(TEXTS))
        encoder.encode(TEXTS)
        assert sum(map(len, inner.asked)) == expected


def test_a_zeroed_row_is_encoded_again(filled: Path) -> None:
    path = filled / FILE_NAME
    content = path.read_bytes()
    path.write_bytes(content[:-24] + bytes(24))
    encoder, inner = encoder_of(filled)
    assert np.array_equal(encoder.encode(TEXTS), Hashed().encode(TEXTS))
    assert sum(map(len, inner.asked)) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b"{}\n", b'{"model": "model 1"}\n', b"\x80" * 200, b'{"model":']
)
def test_a_file_that_is_not_a_cache_is_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    for asked in (1, 0):
        encoder, inner = encoder_of(tmp_path)
        assert np.array_equal(encoder.encode(TEXTS), Hashed().encode(TEXTS))
        encoder.encode(TEXTS)
        assert len(inner.asked) == asked


@pytest.mark.parametrize("dimensions", ["-4", "0", '"x"', "null"])
def test_a_file_with_impossible_dimensions_is_written_again(filled: Path, dimensions: str) -> None:
    path = filled / FILE_NAME
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(head.replace(b'"dimensions": 6', f'"dimensions": {dimensions}'.encode()) + b"\n" + rest)
    encoder, inner = encoder_of(filled)
    assert np.array_equal(encoder.encode(TEXTS), Hashed().encode(TEXTS)) and inner.asked == [TEXTS]
