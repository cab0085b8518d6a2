"""Compare the checks of `lint` with what people changed in a dataset: python benchmarks/lint.py ORIGINAL CLEANED [FILE ...]

A row of the original that the cleaned file lacks was changed or dropped. For each check, the table shows how many rows it
flags, how many of these people changed, their share (precision), and the share of all changed rows that it flags (recall).
People also change rows for reasons that no check covers, and miss faults, so both shares are lower bounds. A further FILE is
assumed to be correct: the flags in it are false alarms, which are counted. To measure only these, give `- -` for ORIGINAL and
CLEANED.
"""

import sys
from collections import Counter
from collections.abc import Iterator

from self_instruct.datasets.defects import CHECKS
from self_instruct.datasets.lint import exchanges_of
from self_instruct.datasets.reading import Source, open_sources
from self_instruct.datasets.rows import Unreadable

Row = tuple[str, str, str]


def rows(path: str) -> Iterator[tuple[Row, list[str]]]:
    """Yield the texts of each row, and the names of the checks that flag it."""
    [reader] = open_sources([Source(path)])
    for item in reader.rows():
        if not isinstance(item, Unreadable):
            row, example = item
            stated = str(row.value.get("input") or "")
            exchanges = list(exchanges_of(example, stated))
            flags = [name for name, check in CHECKS.items() if any(check.find(one) is not None for one in exchanges)]
            yield (example.instruction, stated, example.output), flags


def compare(original: str, cleaned: str) -> None:
    """Print the precision and recall of each check."""
    kept = {texts for texts, _ in rows(cleaned)}
    flagged, right, changed, total, caught = Counter[str](), Counter[str](), 0, 0, 0
    for texts, flags in rows(original):
        was_changed = texts not in kept
        total, changed, caught = total + 1, changed + was_changed, caught + (was_changed and bool(flags))
        flagged.update(flags)
        right.update(flags if was_changed else ())
    print(
        f"{total:,} rows, {changed:,} of them changed or dropped in {cleaned}; {caught:,} of these are flagged by a check"
    )
    print(f"{'check':<22} {'flagged':>9} {'changed':>9} {'precision':>9} {'recall':>9}")
    for name in CHECKS:
        precision = f"{right[name] / flagged[name]:9.1%}" if flagged[name] else f"{'-':>9}"
        print(f"{name:<22} {flagged[name]:>9,} {right[name]:>9,} {precision} {right[name] / max(changed, 1):9.2%}")


def count_flags(path: str) -> None:
    """Print how many rows of a file each check flags."""
    found = [flags for _, flags in rows(path)]
    counts = Counter(flag for flags in found for flag in flags)
    print(f"{path}: {len(found):,} rows, {sum(map(bool, found)):,} flagged")
    for name, number in counts.most_common():
        print(f"{name:<22} {number:>9,} {number / len(found):9.2%}")


if __name__ == "__main__":
    first, second, *others = sys.argv[1:]
    if first != "-":
        compare(first, second)
    for other in others:
        count_flags(other)
