"""Inputs for tests of reports: records with hostile texts, and vectors made without a model."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np

from self_instruct.novelty.vector_cache import CachedEncoder
from self_instruct.report.inputs import read_inputs

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'> Write a \"quoted\" 'poem' & more.",
    "<!--<script>window.hacked = 3</script>-->",
    "Say \x00 NUL and \x07 bell in a sentence.",
    "A lone \ud800 surrogate and another \udfff one.",
    "\u202eright to left override, and اكتب قصيدة عن البحر",
    "]]></style><svg onload=window.hacked=4></svg>{{constructor.constructor('window.hacked = 5')()}}",
    "Describe ${window.hacked = 6} the `backticks` \\u003cscript\\u003e of a template.",
]
LONG = "Repeat this sentence. " * 60_000  # 1.3 million characters


class HashedEncoder:
    """Return unit vectors from hashes of the texts: the same text has the same vector."""

    def encode(self, texts):
        rows = [
            np.random.default_rng(int(sha256(text.encode("utf-8", "replace")).hexdigest()[:8], 16)) for text in texts
        ]
        vectors = np.stack([rng.normal(size=24) for rng in rows]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hostile_file(path: Path, plain: int = 60) -> Path:
    """Write instructions with hostile text in every field, and one line that is not JSON."""
    rows = []
    for at, text in enumerate(
        [*HOSTILE, LONG, *(f"Write the poem {at} about a kettle number{at}." for at in range(plain))]
    ):
        about = {"category": text[:80] if at < len(HOSTILE) else "poems", "source": ("<b>one</b>", "two")[at % 2]}
        rows.append(
            {"instruction": text, "input": text[:50] if at % 3 == 0 else "", "output": text[:200], "provenance": about}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "<script>window.hacked = 7</script>\n")
    return path


def with_vectors(place: Path, cache: Path, model: str = "hashed") -> None:
    """Write the vectors of a run or file to a cache."""
    encoder = CachedEncoder(HashedEncoder(), model, cache, writes=True)
    encoder.encode(read_inputs([str(place)])[0].texts)
    encoder.save()
