"""The usage of a server by a run: tokens as the server counts them, their cost, and the budgets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from self_instruct.config.parser import brief_repr
from self_instruct.errors import UserError

# Concurrent requests that a budget allows before the cost of a request is known.
FIRST_REQUESTS = 8
_KEYS = ("prompt_tokens", "completion_tokens", "estimated")


@dataclass(frozen=True)
class Prices:
    """Prices of a million tokens."""

    prompt: float
    completion: float

    @classmethod
    def parse(cls, text: str) -> "Prices":
        """Parse "IN" or "IN,OUT". Raises UserError if these are not prices."""
        try:
            prices = [float(part) for part in text.split(",")]
        except ValueError:
            prices = []
        if len(prices) not in (1, 2) or not all(0 <= price <= 1e9 for price in prices):
            raise UserError(
                f"--price_per_million_tokens is {brief_repr(text)}, but must be one number, or two such as 0.15,0.6"
            )
        return cls(prices[0], prices[-1])

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of these numbers of tokens."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass
class Spending:
    """The usage of all completions so far, including those of earlier launches, and the budgets.

    `estimated` counts completions whose usage the server did not report.
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
            raise UserError("--max_cost needs --price_per_million_tokens to compute the cost; give both")

    def count(self, usage: Mapping[str, Any] | None) -> None:
        """Add the usage of one completion; None if there is none to count, as for a local model."""
        if usage is None:
            return
        self.completions += 1
        self.prompt_tokens += usage.get("prompt_tokens", 0)
        self.completion_tokens += usage.get("completion_tokens", 0)
        self.estimated += bool(usage.get("estimated"))

    @property
    def tokens(self) -> int:
        """Tokens of prompts and completions."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float | None:
        """The cost so far; None without prices."""
        return self.prices.cost(self.prompt_tokens, self.completion_tokens) if self.prices else None

    def allows(self, under_way: int) -> bool:
        """Return whether one more request fits the budgets, if it and the `under_way` ones use the average so far.

        A request is always allowed if no other is under way and no budget is spent, so the last one may exceed the budget.
        """
        if self.spent() is not None:
            return False
        if under_way == 0 or (self.max_tokens is None and self.max_cost is None):
            return True
        if not self.completions:
            return under_way < FIRST_REQUESTS
        growth = 1 + (under_way + 1) / self.completions
        return (self.max_tokens is None or self.tokens * growth <= self.max_tokens) and (
            self.max_cost is None or (self.cost or 0.0) * growth <= self.max_cost
        )

    def spent(self) -> str | None:
        """Return the reason to stop if a budget is spent, or None."""
        if self.max_tokens is not None and self.tokens >= self.max_tokens:
            return f"--max_usage_tokens {self.max_tokens} are spent ({self.tokens:,} tokens)"
        if self.max_cost is not None and (self.cost or 0.0) >= self.max_cost:
            return f"--max_cost {self.max_cost:g} is spent ({self.cost:.4g})"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the usage in the form of report.json."""
        usage: dict[str, Any] = {name: getattr(self, name) for name in _KEYS}
        return {**usage, "cost": None if self.cost is None else round(self.cost, 6)}

    def summary(self) -> str:
        """Format the usage for the terminal."""
        cost = f", {self.cost:,.4g} at the prices given" if self.cost is not None else ""
        estimated = f"; estimated for {self.estimated:,} completions" if self.estimated else ""
        return (
            f"The server counted {self.prompt_tokens:,} prompt tokens and {self.completion_tokens:,} completion tokens"
            f"{cost}{estimated}."
        )
