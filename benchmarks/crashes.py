"""Kill the launch command repeatedly, at every kind of write boundary and at random moments, and report lost lines.

python benchmarks/crashes.py --kills 60
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.crashes import benchmark, table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = benchmark(Path(folder) / "runs", options.kills, options.seed)
    print(table(kills))
    return int(any(kill.lost or kill.doubled or not kill.identical for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
