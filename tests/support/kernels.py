"""Compile the search kernels into numba's cache: `python -m tests.support.kernels`.

This takes some 20 s. Without it, every process that the tests start in a fresh clone would compile them again.
"""

import numpy as np

from self_instruct.novelty import partition
from self_instruct.novelty.kernels import vectors
from self_instruct.novelty.kernels.sequences import SequenceIndex
from self_instruct.novelty.offline import keep_first

TEXTS = ["a b c d", "e f g h i", "j k l m n o"]


def compile_kernels() -> None:
    """Search a few texts and vectors with every compiled function."""
    index = SequenceIndex(str.split)
    rows = index.tokens(TEXTS)
    index.add(rows)
    index.nearest(rows)
    keep_first(TEXTS)
    texts = [(at, [(0, 0)], text.split()) for at, text in enumerate([*TEXTS, TEXTS[0] + " x"])]
    partition.keep_first([partition.near_pairs(texts, 0.7)])
    vectors.choose(np.eye(2, dtype=np.float32), 0.5)


if __name__ == "__main__":
    compile_kernels()
