"""Detect generated tokens that have become a loop. Every engine that sees tokens uses this rule.

A request ends with the reason `repetition` when its newest tokens repeat a cycle of at most 64 tokens at least 5 times in a
row, over at least 160 tokens. Tokens are compared exactly, so a list of increasing numbers is not a loop. The rule is checked
at every 16th token and depends only on the tokens.
"""

from collections.abc import Sequence

LONGEST_CYCLE, TIMES, LEAST, EVERY = 64, 5, 160, 16


def repeats(tokens: Sequence[int]) -> bool:
    """Return whether the generated tokens end in a loop; call it after each token. Most calls cost one comparison."""
    size = len(tokens)
    if size < LEAST or size % EVERY:
        return False
    for cycle in range(1, LONGEST_CYCLE + 1):
        span = max(LEAST, TIMES * cycle)
        if span > size:
            return False
        # Comparing the newest token first rules out most cycles without copying slices.
        if tokens[-1] == tokens[-1 - cycle] and tokens[size - span : size - cycle] == tokens[size - span + cycle :]:
            return True
    return False
