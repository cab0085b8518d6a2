"""How often the verb and the object of an instruction are right: python benchmarks/verb_noun.py FOLDER [--show]

FOLDER holds the files of instructions that verb_noun_labels.tsv names. Its 200 labels were given by hand, before the rules were
tried on these lines: the verb of what is asked for and its direct object, in their plain form; - where there is none.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from self_instruct.report.verb_noun import verb_noun


def main(folder: Path, show: bool) -> None:
    counts: dict[str, Counter[str]] = {}
    lines: dict[str, list[bytes]] = {}
    with Path(__file__).with_name("verb_noun_labels.tsv").open(encoding="utf-8", newline="") as file:
        for label in csv.DictReader(file, delimiter="\t"):
            name = label["file"]
            if name not in lines:
                lines[name] = (folder / name).read_bytes().splitlines()
            instruction = json.loads(lines[name][int(label["line"]) - 1])["instruction"]
            found, right = verb_noun(instruction), (label["verb"], label["noun"])
            told = (found.verb or "-", found.noun or "-")
            for count in (counts.setdefault(name, Counter()), counts.setdefault("all", Counter())):
                count["labels"] += 1
                count["verb"] += told[0] == right[0]
                count["both"] += told == right
                # A figure shows only what has both.
                count["shown"] += "-" not in told
                count["shown and right"] += "-" not in told and told == right
                count["to be shown"] += "-" not in right
            if show and told != right:
                print(f"{name}:{label['line']}  is {' '.join(right)}, told {' '.join(told)}: {instruction[:90]!r}")
    print(f"{'file':<26} labels  verb right  both right  of those shown, right  of those with both, found")
    for name, count in counts.items():
        labels, right = count["labels"], count["shown and right"]
        print(
            f"{name:<26} {labels:>6}  {count['verb'] / labels:>10.1%}  {count['both'] / labels:>10.1%}"
            f"  {right:>14}/{count['shown']:<6} {right:>16}/{count['to be shown']:<6}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--show" in sys.argv[2:])
