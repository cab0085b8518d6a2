"""Measure the extraction of verbs and objects from instructions: python benchmarks/verb_noun.py FOLDER [--show]

FOLDER holds the instruction files that the labels name. A label is the verb of the request and its direct object, in
their base form, or - if there is no such word; all were assigned by hand. `verb_noun_labels.tsv` (200) was used to improve the
rules; `verb_noun_held_out.tsv` (80) was labelled before the last change of the rules, and no rule was written for its errors.
Precision and recall count verb-object pairs, since the figures of a report show only these.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from self_instruct.novelty.verb_noun import verb_noun

LABELS = ("verb_noun_labels.tsv", "verb_noun_held_out.tsv")


def measure(labels: Path, folder: Path, show: bool) -> dict[str, Counter[str]]:
    """Compare the extraction with a file of labels, and return the counts by instruction file and over all of them."""
    counts: dict[str, Counter[str]] = {}
    lines: dict[str, list[bytes]] = {}
    with labels.open(encoding="utf-8", newline="") as file:
        for label in csv.DictReader(file, delimiter="\t"):
            name = label["file"]
            if name not in lines:
                lines[name] = (folder / name).read_bytes().splitlines()
            instruction = json.loads(lines[name][int(label["line"]) - 1])["instruction"]
            pair, expected = verb_noun(instruction), (label["verb"], label["noun"])
            found = (pair.verb or "-", pair.noun or "-")
            for count in (counts.setdefault(name, Counter()), counts.setdefault("all", Counter())):
                count["labels"] += 1
                count["verb right"] += found[0] == expected[0]
                count["both right"] += found == expected
                count["found"] += "-" not in found
                count["found and right"] += "-" not in found and found == expected
                count["expected"] += "-" not in expected
            if show and found != expected:
                print(
                    f"{name}:{label['line']}  expected {' '.join(expected)}, found {' '.join(found)}: {instruction[:90]!r}"
                )
    return counts


def main(folder: Path, show: bool) -> None:
    for name in LABELS:
        counts = measure(Path(__file__).with_name(name), folder, show)
        print(f"{name:<26} labels  verb right  both right  precision of pairs  recall of pairs")
        for file, count in counts.items():
            labels, right = count["labels"], count["found and right"]
            print(
                f"  {file:<24} {labels:>6}  {count['verb right'] / labels:>10.1%}  {count['both right'] / labels:>10.1%}"
                f"  {f'{right}/' + str(count['found']):>18}  {f'{right}/' + str(count['expected']):>15}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--show" in sys.argv[2:])
