"""Cache embeddings in a file, so that a resumed run does not encode a text again.

The file is one line of JSON with the model and the dimensions, then for each text a 16-byte hash and its vector, float32.
It is a cache: damaged vectors, and those of another model, are encoded again.
"""

import json
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from self_instruct.errors import naming
from self_instruct.novelty.embedding import Encoder

FILE_NAME = "embeddings.cache"
_KEY = 16  # bytes
_BATCH_SIZE = 1024


class CachedEncoder:
    """An encoder that looks vectors up in a file; with `writes` it also adds new ones.

    `identity` names the model; a file with another identity is overwritten. Vectors stay on disk. New ones are written by the
    next call, or by `save`: the first call comes before a run has created and locked its directory.
    """

    def __init__(self, encoder: Encoder, identity: str, path: Path, writes: bool) -> None:
        self._encoder, self._identity, self._path, self._writes = encoder, identity, path, writes
        self._offsets: dict[bytes, int] = {}
        self._pending: dict[bytes, np.ndarray] = {}
        self._end = self._read()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one vector for each text; texts that are not in the file are encoded together."""
        self.save()
        keys = [_key(text) for text in texts]
        vectors = self._looked_up(set(keys))
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if new:
            encoded = dict(zip(new, self._encoder.encode(list(new.values())), strict=True))
            vectors.update(encoded)
            self._pending = encoded if self._writes else {}
        return np.stack([vectors[key] for key in keys])

    def known(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the vectors of the texts that are in the file, without encoding any."""
        keys = {text: _key(text) for text in texts}
        vectors = self._looked_up(set(keys.values()))
        return {text: vectors[key] for text, key in keys.items() if key in vectors}

    def save(self) -> None:
        """Write the vectors that the last call of `encode` computed."""
        if self._pending:
            self._append(self._pending)

    def _read(self) -> int:
        """Index the texts of the file, and return the end of its last whole row; 0 if the file cannot be used."""
        try:
            with self._path.open("rb") as file:
                head = file.readline(100_000)
                header = json.loads(head)
                if header["model"] != self._identity or int(header["dimensions"]) < 1:
                    return 0
                row, at = _KEY + 4 * int(header["dimensions"]), len(head)
                end = at + (os.fstat(file.fileno()).st_size - at) // row * row
                for offset in range(at, end, row):
                    file.seek(offset)
                    self._offsets[file.read(_KEY)] = offset + _KEY
        except (OSError, ValueError, KeyError, TypeError):
            self._offsets.clear()
            return 0
        self._size = row - _KEY
        return end

    def _looked_up(self, keys: set[bytes]) -> dict[bytes, np.ndarray]:
        known = sorted(keys & self._offsets.keys(), key=self._offsets.__getitem__)
        vectors = {}
        if known:
            with self._path.open("rb") as file:
                for key in known:
                    file.seek(self._offsets[key])
                    vector = np.frombuffer(file.read(self._size), np.float32)
                    if abs(float(vector @ vector) - 1) < 1e-3:  # a crash can leave a row of zeros
                        vectors[key] = vector
        return vectors

    def _append(self, vectors: dict[bytes, np.ndarray]) -> None:
        if not self._end:
            self._size = next(iter(vectors.values())).nbytes
            head = json.dumps({"model": self._identity, "dimensions": self._size // 4}).encode() + b"\n"
            with naming(self._path):
                self._end = self._path.write_bytes(head)
        with naming(self._path), self._path.open("r+b") as file:
            file.truncate(self._end)
            file.seek(self._end)
            for key, vector in vectors.items():
                self._offsets[key] = self._end + _KEY
                self._end += file.write(key + vector.tobytes())
        self._pending = {}


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY).digest()


def model_of(path: Path) -> str | None:
    """Return the identity of the model of a file's vectors, or None if the file is missing or has another format."""
    try:
        with path.open("rb") as file:
            return str(json.loads(file.readline(100_000))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def encode_all(
    encoder: CachedEncoder | Encoder,
    texts: Sequence[str],
    on_part: Callable[[int, int], None] = lambda done, number: None,
) -> dict[str, np.ndarray]:
    """Return the vector of each text.

    Texts are encoded in fixed batches, because a vector's last digits may depend on the other texts of its batch.
    `on_part` is called after each batch with the number of different texts encoded so far and in total.
    """
    unique, vectors = list(dict.fromkeys(texts)), dict[str, np.ndarray]()
    for at in range(0, len(unique), _BATCH_SIZE):
        part = unique[at : at + _BATCH_SIZE]
        vectors.update(zip(part, encoder.encode(part), strict=True))
        on_part(at + len(part), len(unique))
    if isinstance(encoder, CachedEncoder):
        encoder.save()
    return vectors
