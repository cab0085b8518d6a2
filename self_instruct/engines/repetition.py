"""When generated tokens have become a loop. Every engine that sees tokens ends a request by this one rule.

The rule: a request ends with the reason `repetition` when its newest tokens are one cycle of at most 64 tokens, written at
least 5 times in a row, over at least 160 tokens. Tokens are compared exactly, so a list of increasing numbers is no loop.
The rule is applied at every 16th token, and depends on nothing but the tokens.
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
        # The newest token decides most cycles, without a copy.
        if tokens[-1] == tokens[-1 - cycle] and tokens[size - span : size - cycle] == tokens[size - span + cycle :]:
            return True
    return False
