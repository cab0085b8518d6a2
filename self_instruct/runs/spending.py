"""What a run has used of a server: tokens as it counts them, what they cost, and when a budget is spent.

Knows nothing of servers and currencies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from self_instruct.errors import UserError

# Before anything is known of what a request costs, a budget lets so many through at once.
FIRST_REQUESTS = 8
_KEYS = ("prompt_tokens", "completion_tokens", "estimated")


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens."""

    prompt: float
    completion: float

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """From "IN" or "IN,OUT". Raises `UserError` if these are no prices."""
        try:
            prices = [float(part) for part in text.split(",")]
        except ValueError:
            prices = []
        if len(prices) not in (1, 2) or not all(0 <= price < float("inf") for price in prices):
            raise UserError(f"--price_per_million_tokens is '{text}', but must be a number, or two as 0.15,0.6")
        return cls(prices[0], prices[-1])

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Of so many tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass
class Spending:
    """The usage of the completions counted so far, those of earlier launches too, and the budgets that it must keep to.

    `estimated` counts completions whose usage the server did not tell.
    """

    prices: Prices | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    completions: int = field(default=0)

    def __post_init__(self) -> None:
        if self.max_cost is not None and self.prices is None:
            raise UserError("--max_cost needs --price_per_million_tokens, to know what tokens cost")

    def count(self, usage: Mapping[str, Any] | None) -> None:
        """Adds what one completion took; None where nothing is counted, as for a model in this process."""
        if usage is None:
            return
        self.completions += 1
        self.prompt_tokens += usage.get("prompt_tokens", 0)
        self.completion_tokens += usage.get("completion_tokens", 0)
        self.estimated += bool(usage.get("estimated"))

    @property
    def tokens(self) -> int:
        """Of prompts and completions."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float | None:
        """So far, where prices are known."""
        return self.prices.cost(self.prompt_tokens, self.completion_tokens) if self.prices else None

    def allows(self, under_way: int) -> bool:
        """Whether one more request beside so many under way would, if all are like those before, keep to the budgets.

        The first one is let through until a budget is spent, so the last one may overstep it.
        """
        if self.spent() is not None:
            return False
        if under_way == 0 or (self.max_tokens is None and self.max_cost is None):
            return True
        if not self.completions:
            return under_way < FIRST_REQUESTS
        foreseen = 1 + (under_way + 1) / self.completions
        return (self.max_tokens is None or self.tokens * foreseen <= self.max_tokens) and (
            self.max_cost is None or (self.cost or 0.0) * foreseen <= self.max_cost
        )

    def spent(self) -> str | None:
        """Which budget is spent, or None."""
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return f"--max_usage_tokens {self.max_tokens} are spent ({self.tokens:,} tokens)"
        if self.max_cost is not None and (self.cost or 0.0) >= self.max_cost:
            return f"--max_cost {self.max_cost:g} is spent ({self.cost:.4g})"
        return None

    def as_dict(self) -> dict[str, Any]:
        """As in report.json."""
        told: dict[str, Any] = {name: getattr(self, name) for name in _KEYS}
        return {**told, "cost": None if self.cost is None else round(self.cost, 6)}

    def told(self) -> str:
        """For people."""
        cost = f", {self.cost:,.4g} at the prices given" if self.cost is not None else ""
        estimated = f"; estimated for {self.estimated:,} completions" if self.estimated else ""
        return (
            f"The server counted {self.prompt_tokens:,} tokens of prompts and {self.completion_tokens:,} of completions"
            f"{cost}{estimated}."
        )
