"""Compile the search kernels into numba's cache: `python -m tests.support.kernels`.

It takes 8 s, and without it each process that a test of a fresh clone starts would do the same.
"""

import numpy as np

from self_instruct.novelty.kernels import vectors
from self_instruct.novelty.kernels.sequences import SequenceIndex

TEXTS = ["a b c d", "e f g h i", "j k l m n o"] * 2


def compile_kernels() -> None:
    """Search a few texts and vectors by each compiled function."""
    index = SequenceIndex(str.split)
    rows = index.tokens(TEXTS)
    index.add_new(rows, *index.nearest(rows, 0.7), 0.7)
    vectors.choose(np.eye(2, dtype=np.float32), 0.5)


if __name__ == "__main__":
    compile_kernels()
