"""Count the code that a run verifies: how many answers could be tested, passed, and had tests that are worth something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from self_instruct.runs.journal import TESTS_STEP, Entry
from self_instruct.runs.verdict import Verdict

STAGE = "verify"


@dataclass
class Verified:
    """`written` counts the candidates that ask for code or have it, `parsed` those with code that can be tested, `tested` those
    for which the model wrote usable tests, `passing` the answers that pass them, `vacuous` those of them whose tests accept
    wrong answers too, and `kept` the records. `test_tokens` are the new tokens of the requests for tests.
    """

    written: int = 0
    parsed: int = 0
    tested: int = 0
    passing: int = 0
    vacuous: int = 0
    kept: int = 0
    test_requests: int = 0
    test_tokens: int = 0

    def count(self, entry: Entry, verdicts: Sequence[Verdict]) -> None:
        """Count the verdicts on one completion."""
        if entry.step == TESTS_STEP:
            self.test_requests += 1
            self.test_tokens += entry.completion_tokens
        for verdict in verdicts:
            outcome = (verdict.verification or {}).get("outcome")
            self.written += outcome is not None or (verdict.drop is not None and verdict.drop.stage == STAGE)
            self.parsed += outcome is not None
            self.tested += outcome not in (None, "no_tests")
            self.passing += outcome in ("passed", "vacuous")
            self.vacuous += outcome == "vacuous"
            self.kept += outcome == "passed" and verdict.drop is None

    def as_dict(self, tokens: int) -> dict[str, Any]:
        """Return the counts for report.json; `tokens` are all new tokens of the run."""
        return {**vars(self), "tokens_per_verified_record": round(tokens / self.kept, 1) if self.kept else None}

    def lines(self, tokens: int) -> str:
        """Return the counts as text, empty if there was no code."""
        if not self.written:
            return ""
        rate = f"{tokens / self.kept:,.0f} new tokens for each" if self.kept else "none was kept"
        return (
            f"\nCode: {self.written:,} candidates, {self.parsed:,} with code that can be tested, {self.tested:,} with usable "
            f"tests, {self.passing:,} pass them, {self.vacuous:,} of these tests are vacuous; {self.kept:,} verified records, "
            f"{rate}; {self.test_tokens:,} of {tokens:,} new tokens were for tests"
        )
