"""The pairs that a shard has found, in a file: a line of JSON that says what they were found for, then the pairs.

Pairs serve every threshold that allows as much as theirs, or more. Knows nothing of how they are found.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from self_instruct.errors import UserError
from self_instruct.novelty.offline import PAIR


def fingerprint(texts: Sequence[str], tokenizer: str) -> str:
    """SHA-256 of the texts that are compared, with the words that they are compared by."""
    digest = hashlib.sha256(tokenizer.encode())
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def pairs_bytes(pairs: np.ndarray, texts: str, limit: float) -> bytes:
    """The file of pairs [pairs] of dtype `PAIR`: all whose score is above a limit, of texts with that fingerprint."""
    head = json.dumps({"texts": texts, "limit": limit, "pairs": len(pairs)}).encode() + b"\n"
    return head + pairs.tobytes()


def read_pairs(path: Path, texts: str, limit: float) -> np.ndarray:
    """The pairs whose score is above a limit [pairs].

    Raises `UserError` if the file was made for other texts or a higher limit, or is not whole.
    """
    with path.open("rb") as file:
        stated, content = _head(file.readline(1000)), file.read()
    if len(content) != stated.get("pairs", -1) * PAIR.itemsize:
        raise UserError(f"{path}: is not what a shard wrote; search that shard again")
    if stated["texts"] != texts:
        raise UserError(
            f"{path}: was found among other texts; give the --input_path and the filters of then, or search that shard again"
        )
    if stated["limit"] > limit:
        raise UserError(
            f"{path}: holds no pairs below --rouge_threshold of then; search that shard again for a lower one"
        )
    pairs = np.frombuffer(content, PAIR)
    return pairs[pairs["score"] > limit]


def _head(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"texts", "limit", "pairs"} <= found.keys() else {}
