"""Count rows or candidates: how many were kept, and how many were dropped, by stage and reason."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from self_instruct.records import Drop


@dataclass
class Tally:
    """The number of kept items, and of dropped ones by stage and reason."""

    kept: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def sum(cls, tallies: Iterable["Tally"]) -> "Tally":
        """Return the counts of all tallies together."""
        total = cls()
        for tally in tallies:
            total.kept += tally.kept
            total.drops.update(tally.drops)
        return total

    @property
    def total(self) -> int:
        """The number of items, kept or dropped."""
        return self.kept + self.drops.total()

    def keep(self, number: int = 1) -> None:
        """Count kept items."""
        self.kept += number

    def drop(self, drop: Drop, number: int = 1) -> None:
        """Count items that were dropped for one reason."""
        self.drops[drop.stage, drop.reason] += number

    def dropped(self, *stages: str) -> int:
        """Return the number of items that these stages dropped."""
        return sum(number for (stage, _), number in self.drops.items() if stage in stages)

    def by_stage(self, stages: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return `{stage: {reason: number}}` in the order of the stages, as reports of runs and curations have it."""
        drops = sorted(self.drops.items())
        return {stage: {reason: number for (at, reason), number in drops if at == stage} for stage in stages}

    def by_name(self) -> dict[str, int]:
        """Return `{"stage: reason": number}`, as the reports of the other commands have it."""
        return {f"{stage}: {reason}": number for (stage, reason), number in sorted(self.drops.items())}

    def lines(self) -> list[str]:
        """Format the drops, one reason per line."""
        return [f"  {name:<40} {-number:>12,}" for name, number in self.by_name().items()]

    def table(self, first: str, stages: Sequence[tuple[str, str]]) -> str:
        """Format the funnel: the number at `first`, then the drops of each stage and the number that remains, with its name.

        Drops of other stages are not counted.
        """
        left = self.kept + self.dropped(*(stage for stage, _ in stages))
        rows = [(first, "", left)]
        for stage, name in stages:
            reasons = {reason: number for (at, reason), number in self.drops.items() if at == stage}
            commonest_first = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            rows += [(f"  {stage}", reason, -number) for reason, number in commonest_first]
            left -= sum(reasons.values())
            rows.append((name, "", left))
        return "\n".join(f"{name:<20} {reason:<26} {count:>12,}" for name, reason, count in rows)
