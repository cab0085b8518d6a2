"""The two rules, by name, for when a similarity score is too high."""

import math

RULES = ("below", "not_above")


def highest_allowed(threshold: float, rule: str) -> float:
    """Return the highest score that a record may have: `below` excludes the threshold, `not_above` includes it.

    Raises ValueError for an unknown rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is unknown; use one of {', '.join(RULES)}")
    return math.nextafter(threshold, -math.inf) if rule == "below" else threshold
