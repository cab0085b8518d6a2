"""Give random and damaged input to everything that reads text of models, servers or users, and store the input that fails.

python benchmarks/fuzz.py --minutes 60 --folder /tmp/fuzz

A target must raise no exceptions except the declared ones, take CPU time at most linear in the size of the input, read back the
texts that it writes, and count every row and line. Input for which it does not is minimized and stored in the folder.
"""

import argparse
import hashlib
import json
import logging
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.fuzz import TARGETS, Slow, checked, input_of


def minimize(target: str, content: bytes, kind: str, folder: Path) -> bytes:
    """Cut pieces out of an input as long as it fails in the same way, and return the rest."""
    size = len(content) // 2
    while size:
        at = 0
        while at < len(content):
            shorter = content[:at] + content[at + size :]
            if failure(target, shorter, folder)[0] == kind:
                content = shorter
            else:
                at += size
        size //= 2
    return content


def failure(target: str, content: bytes, folder: Path) -> tuple[str, str]:
    """Return the kind of failure and its traceback, or two empty texts."""
    try:
        checked(TARGETS[target], content, folder)
    except Slow as slow:
        return "Slow", str(slow)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", traceback.format_exc()
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("fuzz"), help="directory for failing input")
    parser.add_argument("--only", choices=TARGETS, help="run only this target")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    options.folder.mkdir(parents=True, exist_ok=True)
    rng, begun = random.Random(options.seed), time.monotonic()
    tried, size, found = Counter[str](), Counter[str](), dict[tuple[str, str], Path]()
    names = [options.only] if options.only else list(TARGETS)
    with tempfile.TemporaryDirectory() as place:
        while time.monotonic() - begun < 60 * options.minutes:
            for name in names:
                content = input_of(TARGETS[name], rng)
                tried[name] += 1
                size[name] += len(content)
                kind, about = failure(name, content, Path(place))
                if kind and (name, kind) not in found:
                    content = minimize(name, content, kind, Path(place)) if kind != "Slow" else content
                    path = options.folder / f"{name}-{hashlib.sha256(content).hexdigest()[:8]}"
                    path.write_bytes(content)
                    path.with_suffix(".txt").write_text(about)
                    found[name, kind] = path
                    print(f"{name}: {kind}: {path}", flush=True)
            (options.folder / "counts.json").write_text(json.dumps(tried))
    print(f"{'target':<18} {'inputs':>9} {'mean bytes':>10} {'failures':>8}")
    for name in names:
        failures = sum(key[0] == name for key in found)
        print(f"{name:<18} {tried[name]:>9,} {size[name] // max(1, tried[name]):>10,} {failures:>8}")
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
