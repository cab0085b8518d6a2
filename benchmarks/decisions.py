"""Compare our novelty decisions with those of rouge_score: python benchmarks/decisions.py [FILE.jsonl ...]

Filters 5,000 mixed texts in order, at five thresholds and by both rules, with `keep_first` and with a plain loop over the
scores of rouge_score. The loop skips pairs whose lengths alone keep them below the lowest threshold.
"""

import random
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from instructions import instructions
from rouge_score.rouge_scorer import _score_lcs
from rouge_score.tokenize import tokenize

from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.rules import RULES

NUMBER = 5_000
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
ODD = ["", " ", "...", "###", "好 的", "é", "naïve café", "a\ud800b", "\udfff", "A_b-C", "x" * 300, "\x00", "1,000.5", "İ K",
       "a", "A!", "a b", "b a", "0", "00", "Привет, мир", "ｆｕｌｌ ｗｉｄｔｈ"]  # fmt: skip


def mixed(paths: list[str]) -> list[str]:
    """Return shuffled texts: instructions, unusual texts, long ones with near-copies, ties with a threshold, duplicates."""
    rng = random.Random(5)
    texts = instructions(paths, 3_300)[0] + ODD
    words = " ".join(texts[:2_000]).split()
    for _ in range(60):
        text = rng.choices(words, k=rng.randint(65, 700))
        texts += [" ".join(text), " ".join(text[rng.randint(0, len(text) // 2) :])]
    for at in range(500):
        threshold, total = rng.choice(THRESHOLDS), 20 * rng.randint(1, 4)
        common = round(threshold * total / 2)
        first = rng.randint(common, total - common)
        shared = [f"same{at}x{word}" for word in range(common)]
        texts.append(" ".join(shared + [f"one{at}x{word}" for word in range(first - common)]))
        texts.append(" ".join([f"two{at}x{word}" for word in range(total - first - common)] + shared))
    texts += rng.choices(texts, k=NUMBER - len(texts))
    rng.shuffle(texts)
    return texts


def row(tokens: list[list[str]], at: int) -> np.ndarray:
    """Return the F1 with each earlier text by rouge_score; 0 if the lengths alone keep it below the lowest threshold."""
    scores, m = np.zeros(at), len(tokens[at])
    for other in range(at):
        n = len(tokens[other])
        if m and n and 2 * min(m, n) / (m + n) >= min(THRESHOLDS) - 1e-9:
            scores[other] = _score_lcs(tokens[other], tokens[at]).fmeasure
    return scores


_tokens: list[list[str]] = []


def _row(at: int) -> np.ndarray:
    return row(_tokens, at)


def main() -> None:
    """Print how many decisions differ."""
    texts = mixed(sys.argv[1:])
    _tokens.extend(tokenize(text, None) for text in texts)
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(_row, range(len(texts)), chunksize=20))
    ties = sum(int(np.isin(np.round(scores, 12), THRESHOLDS).sum()) for scores in rows)
    print(f"{len(texts):,} texts of 0 to {max(map(len, _tokens))} words; {ties:,} pairs tie with a threshold")
    for threshold in THRESHOLDS:
        for rule in RULES:
            kept: list[int] = []
            wrong = 0
            ours = keep_first(texts, threshold, rule)
            for at, (scores, decision) in enumerate(zip(rows, ours, strict=True)):
                against = scores[kept]
                best = int(against.argmax()) if kept else -1
                keeps = not kept or not (against[best] >= threshold if rule == "below" else against[best] > threshold)
                wanted = None if keeps else (kept[best], against[best])
                wrong += (keeps, wanted) != (decision.kept, decision.nearest)
                if keeps:
                    kept.append(at)
            print(f"threshold {threshold}, {rule:>9}: {len(kept):>5,} kept, {wrong} decisions differ")


if __name__ == "__main__":
    main()
