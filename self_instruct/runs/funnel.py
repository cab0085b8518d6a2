"""The funnel of a run: how many candidates each stage saw and dropped, and why. Counts and a table.

Everything here depends on the verdicts only, and not on time or machine, so a replay gives the same report.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from self_instruct.runs.journal import ANSWERS_STEP, Entry
from self_instruct.runs.layout import JOURNAL, REJECTED
from self_instruct.runs.recent_novelty import RecentNovelty
from self_instruct.runs.spending import Spending
from self_instruct.runs.tally import Tally
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.verified import Verified
from self_instruct.thoughts import LOST

STAGES = ("generation", "parse", "filter", "validate", "novelty", "verify", "limit")
DECIDED = ("filter", "validate", "novelty", "verify")
# The stages that drop blocks, in order, and the name of the blocks that remain after each.
STEPS = (
    ("parse", "could be read"),
    ("limit", "were checked"),
    ("filter", "passed the filters"),
    ("validate", "are valid"),
    ("novelty", "are new"),
    ("verify", "passed their tests"),
)
WRITTEN = "blocks written"
LESS_THINKING = (
    "turn thinking off (--chat_template_kwargs '{\"enable_thinking\": false}', or the server's own option), or raise "
    "--max_new_tokens or --answer_max_new_tokens"
)
ENOUGH_BLOCKS = 200
MUCH = 0.15


@dataclass(frozen=True)
class RuleWarning:
    """A filter rule to check: it `never_fired`, or `drops_much`; it dropped `dropped` of the `parsed` blocks."""

    rule: str
    warning: str
    dropped: int
    parsed: int


@dataclass
class Funnel:
    """Counts over the completions decided so far.

    `patience` is the number of recent requests used for `recent_yield`; `rules` maps each filter rule to its possible reasons;
    `spending` is the server's usage for the whole journal; `thoughts` counts completions that hold one; `answers` counts the
    requests that answer one task, and `cut_answers` those of them that reached their limit of tokens; `quotas` has the number
    of records wanted from each category, and `categories` the counts of each; `novelty` is that of the recent records;
    `verified` counts code.
    """

    patience: int = 100
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spending: Spending = field(default_factory=Spending)
    quotas: Mapping[str, int] = field(default_factory=dict)
    completions: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thought_tokens: int = 0
    thoughts: int = 0
    answers: int = 0
    cut_answers: int = 0
    verified: Verified = field(default_factory=Verified)
    _recent: deque[tuple[int, int, int, Counter[str], int]] = field(default_factory=deque)
    _tokens_before: int = 0
    _recent_parsed: int = 0
    _recent_kept: int = 0
    categories: dict[str, "Funnel"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.novelty = RecentNovelty(self.patience)
        self.categories.update((name, Funnel(self.patience)) for name in self.quotas)

    def count(self, entry: Entry, verdicts: list[Verdict], passed_on: int = 0) -> None:
        """Count one completion and the verdicts on its blocks; `passed_on` of its tasks wait for their answer."""
        self.completions[entry.finish_reason] += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        self.thought_tokens += entry.thought_tokens
        self.thoughts += bool(entry.thought_tokens or entry.turn.thought)
        if entry.step == ANSWERS_STEP:
            self.answers += 1
            self.cut_answers += entry.finish_reason == "length"
        kept = self._add(verdicts)
        self.verified.count(entry, verdicts)
        parsed = sum(verdict.drop is None or verdict.drop.stage in DECIDED for verdict in verdicts)
        self._tokens_before += entry.completion_tokens
        # All answers to a task count as one request. An error of the engine says nothing about the model.
        waits = entry.answers is not None and not verdicts and not passed_on
        if not waits and (entry.finish_reason != "error" or kept):
            filtered = Counter(v.drop.reason for v in verdicts if v.drop is not None and v.drop.stage == "filter")
            self._recent.append((parsed, kept, self._tokens_before, filtered, passed_on))
            self._tokens_before = 0
            self._count_recent(parsed + passed_on, kept + passed_on)
            self.novelty.count(verdicts)
        if len(self._recent) > self.patience:
            parsed, kept, *_, waiting = self._recent.popleft()
            self._count_recent(-parsed - waiting, -kept - waiting)
        if entry.category is not None:
            self.categories[entry.category].count(replace(entry, category=None), verdicts)

    def _count_recent(self, parsed: int, kept: int) -> None:
        """Keep the sums of the window: to add it up after each request took a tenth of a replay."""
        self._recent_parsed += parsed
        self._recent_kept += kept

    def count_undecided(self, verdicts: list[Verdict]) -> None:
        """Count verdicts that were decided without a completion."""
        self._add(verdicts)
        for verdict in verdicts:
            if verdict.source is not None and verdict.source.category is not None:
                self.categories[verdict.source.category].count_undecided([replace(verdict, source=None)])

    def _add(self, verdicts: list[Verdict]) -> int:
        """Count verdicts, and return how many of them keep a record."""
        kept = sum(verdict.drop is None for verdict in verdicts)
        self.tally.keep(kept)
        for verdict in verdicts:
            if verdict.drop is not None:
                self.tally.drop(verdict.drop)
        return kept

    @property
    def accepted(self) -> int:
        """Records kept."""
        return self.tally.kept

    @property
    def drops(self) -> Counter[tuple[str, str]]:
        """Drops by stage and reason."""
        return self.tally.drops

    @property
    def requests(self) -> int:
        """Completions decided."""
        return self.completions.total()

    @property
    def blocks(self) -> int:
        """Blocks that the model wrote, readable or not."""
        return self.tally.total - self.tally.dropped("generation")

    @property
    def parsed(self) -> int:
        """Blocks that could be read and were checked, that is, decided on."""
        return self.blocks - self.tally.dropped("parse", "limit")

    @property
    def yield_(self) -> float:
        """Accepted records per parsed block, as in report.json and for --min_yield."""
        return self.accepted / self.parsed if self.parsed else 0.0

    @property
    def yield_of_written(self) -> float:
        """Accepted records per block that the model wrote, readable or not: the yield in messages and tables."""
        return self.accepted / self.blocks if self.blocks else 0.0

    @property
    def recent_yield(self) -> float | None:
        """The yield over the last `patience` requests; None before there were that many.

        A task that passed in the first of two steps counts as kept there, and again when its answer is decided.
        """
        if len(self._recent) < self.patience:
            return None
        return self._recent_kept / self._recent_parsed if self._recent_parsed else 0.0

    @property
    def likely_cause(self) -> str:
        """The most likely cause of a low `recent_yield`."""
        parsed = sum(parsed for parsed, *_ in self._recent)
        filtered = sum((reasons for *_, reasons, _ in self._recent), Counter[str]())
        if 2 * filtered.total() > parsed:
            reason, number = min(filtered.items(), key=_commonest)
            advice = "; --filter_rules leaves a rule out" if self.rules else ""
            return (
                f"the filters dropped {filtered.total():,} of the {parsed:,} blocks that could be read, most ({number:,}) for "
                f"{reason}: see them in {REJECTED}{advice}"
            )
        if parsed:
            return "the model repeats itself or cannot follow the format"
        if all(tokens <= 1 for _, _, tokens, *_ in self._recent):
            return "the model wrote nothing, it ends every text at once"
        unread = Counter({reason: n for (stage, reason), n in self.drops.items() if stage == "parse"})
        if unread and unread.most_common(1)[0][0] in LOST:
            return (
                f"the model spends its tokens on thoughts (reasoning) and does not come to an answer: {LESS_THINKING}"
            )
        mostly = f", most of them for {unread.most_common(1)[0][0]}" if unread else ""
        return f"not one of its blocks could be read{mostly}: see what the model writes in {JOURNAL}"

    @property
    def samples(self) -> list[tuple[int, int]]:
        """Generated tokens and accepted records of each of the last `patience` requests."""
        return [(tokens, kept) for _, kept, tokens, *_ in self._recent]

    @property
    def warnings(self) -> list[RuleWarning]:
        """Rules that dropped over 15 % of the parsed blocks, and rules that dropped none of at least 200.

        These limits are our choice. A rule sees only the blocks that passed the rules before it, so it may never fire.
        """
        return warnings_of(self.rules, self.drops, self.parsed)

    @property
    def verifies(self) -> bool:
        """Whether the run has asked for tests, or had code to test."""
        return bool(self.verified.written or self.verified.test_requests)

    def as_dict(self, stopped: str) -> dict[str, Any]:
        """Return all counts in the form of report.json; `stopped` is the reason why the run ended."""
        # Only categories have validators.
        absent = {"validate"} if not self.categories else set()
        stages = [stage for stage in STAGES if stage not in (absent if self.verifies else {*absent, "verify"})]
        counts = {
            "stopped": stopped,
            **self._counts(stages),
            "warnings": [asdict(warning) for warning in self.warnings],
            "tokens": {
                "prompt": self.prompt_tokens,
                "completion": self.completion_tokens,
                **({"reasoning": self.thought_tokens} if self.thoughts else {}),
            },
            **({"verified": self.verified.as_dict(self.completion_tokens)} if self.verifies else {}),
            **({"usage": self.spending.as_dict()} if self.spending.completions else {}),
        }
        if self.categories:
            counts["categories"] = {
                name: {"quota": self.quotas[name], **funnel._counts(stages), "tokens": funnel.completion_tokens}
                for name, funnel in self.categories.items()
            }
        return counts

    def _counts(self, stages: Sequence[str]) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "completions": dict(sorted(self.completions.items())),
            "blocks": self.blocks,
            "parsed": self.parsed,
            "accepted": self.accepted,
            "yield": round(self.yield_, 6),
            "drops": self.tally.by_stage(stages),
        }

    def table(self) -> str:
        """Format the funnel: what remains after each stage and what it dropped, most frequent reason first."""
        rare = {"limit", "verify"} if self.categories else {"limit", "validate", "verify"}
        left_out = rare - {stage for stage, _ in self.drops}
        stages = [step for step in STEPS if step[0] not in left_out]
        failed = self.completions["error"]
        note = f"\n{failed} request{'s' * (failed > 1)} failed with an error of the engine" if failed else ""
        code = self.verified.lines(self.completion_tokens)
        notes = [note, code, _looped(self.completions["repetition"]), self._cut(), self._thinking()]
        return self.tally.table(WRITTEN, stages) + "".join(notes)

    def _cut(self) -> str:
        """Return a line on answers that reached their limit of tokens; empty if they are few."""
        if self.cut_answers <= MUCH * self.answers:
            return ""
        return (
            f"\n{self.cut_answers:,} of {self.answers:,} answers were cut off by the limit of tokens and dropped: in the next "
            "run, use a higher --answer_max_new_tokens"
        )

    def _thinking(self) -> str:
        """Return a line on the share of thoughts in the new tokens, with what to change if answers are missing for them."""
        if not self.thoughts:
            return ""
        share = self.thought_tokens / self.completion_tokens if self.completion_tokens else 0.0
        lost = sum(self.drops["parse", reason] for reason in LOST)
        advice = f"; {lost:,} of these requests gave no answer for it: {LESS_THINKING}" if lost else ""
        return (
            f"\n{self.thought_tokens:,} of {self.completion_tokens:,} new tokens ({share:.0%}) were thoughts, in "
            f"{self.thoughts:,} of {self.requests:,} requests{advice}"
        )

    def table_of_categories(self) -> str:
        """Format the records and the most frequent drop reasons of each category; empty without categories."""
        if not self.categories:
            return ""
        rows = [f"{'category':<28} {'records':>9} {'of':>9} {'requests':>9} {'yield':>6}  dropped most for"]
        for name, funnel in self.categories.items():
            drops = sorted(funnel.drops.items(), key=lambda item: (-item[1], item[0]))
            reasons = ", ".join(f"{reason} {number:,}" for (_, reason), number in drops[:2])
            counts = f"{funnel.accepted:>9,} {self.quotas[name]:>9,} {funnel.requests:>9,}"
            rows.append(f"{name:<28} {counts} {funnel.yield_of_written:>6.0%}  {reasons}")
        return "\n".join(row.rstrip() for row in rows)


def _looped(number: int) -> str:
    """Return a line on the requests that ended because they repeated themselves; empty if there are none."""
    if not number:
        return ""
    return (
        f"\n{number:,} request{'s' * (number > 1)} ended early because the text had become a loop (--stop_repetition); a "
        "higher --temperature or a --repetition_penalty makes that rarer"
    )


def warnings_of(
    rules: Mapping[str, tuple[str, ...]], drops: Counter[tuple[str, str]], decided: int
) -> list[RuleWarning]:
    """Return the rules that dropped over 15 % of the decided items, or none of at least 200; `rules` maps rules to reasons."""
    found = []
    for rule, reasons in rules.items():
        dropped = sum(drops["filter", reason] for reason in reasons)
        if dropped > MUCH * decided:
            found.append(RuleWarning(rule, "drops_much", dropped, decided))
        elif dropped == 0 and decided >= ENOUGH_BLOCKS:
            found.append(RuleWarning(rule, "never_fired", dropped, decided))
    return found


def _commonest(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
