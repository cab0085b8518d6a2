"""When is a score too high? The two rules in use, by name."""

import math

RULES = ("below", "not_above")


def highest_allowed(threshold: float, rule: str) -> float:
    """The highest score that a record may have: `below` keeps scores under the threshold, `not_above` the threshold too.

    Scores above it are too high under either rule. Raises `ValueError` for another rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} is none of {', '.join(RULES)}")
    return math.nextafter(threshold, -math.inf) if rule == "below" else threshold
