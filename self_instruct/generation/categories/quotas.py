"""Compute the number of records of each category from the shares on the command line."""

from collections.abc import Mapping

from self_instruct.config.parser import brief_repr
from self_instruct.errors import UserError

_LARGEST_SHARE = 1e9


def read_shares(text: str) -> dict[str, float]:
    """Parse `general:50,coding:30` into shares by name, in order; a name without a number has a share of 1.

    Raises `UserError` for an invalid number or one not above 0, and for a missing or repeated name.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = (piece.strip() for piece in part.partition(":"))
        if not name:
            raise UserError(
                f"--categories is {brief_repr(text)}, in which a name is missing; write general:50,coding:30 or general,coding"
            )
        if name in shares:
            raise UserError(f"--categories is {brief_repr(text)}, which has {name} twice; keep one")
        try:
            share = float(number) if colon else 1.0
        except ValueError:
            share = 0.0
        if not 0 < share <= _LARGEST_SHARE:
            wanted = f"above 0 and at most {_LARGEST_SHARE:,.0f}" if share > _LARGEST_SHARE else "above 0"
            raise UserError(
                f"--categories: the share of {name} is {brief_repr(number)}, but must be a number {wanted}"
            )
        shares[name] = share
    return shares


def quotas_of(shares: Mapping[str, float], number: int) -> dict[str, int]:
    """Return whole numbers that add up to `number`, in proportion to the shares. They are rounded down, and the
    largest remainders get one more; of equal remainders, the first ones (Hare-Niemeyer method).
    """
    total = sum(shares.values())
    exact = {name: number * share / total for name, share in shares.items()}
    quotas = {name: int(part) for name, part in exact.items()}
    by_remainder = sorted(shares, key=lambda name: quotas[name] - exact[name])
    for name in by_remainder[: number - sum(quotas.values())]:
        quotas[name] += 1
    return quotas
