"""The bootstrapping loop: the model writes tasks from demonstrations, and kept tasks become demonstrations. Read this first.

    compose a prompt -> submit it -> journal the completion -> decide on its blocks in request order -> grow the pool

Request i is composed from the seeds and from the records of requests up to i - horizon, so it depends on the seed and the
completions, never on timing or the number of processes. At most `horizon` requests are in flight at once. A plan (plan.py)
composes the requests, a curator (judging.py) decides which records to keep.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from self_instruct.engines.base import UNANSWERED, Completion, Engine, EngineLost, Request
from self_instruct.errors import UserError
from self_instruct.generation.judging import Curator
from self_instruct.generation.plan import Plan
from self_instruct.generation.progress import Progress
from self_instruct.records import Prompt
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Entry, Journal
from self_instruct.runs.writer import Writer

ERRORS_IN_A_ROW = 20
SIGNAL_GRACE_SECONDS = 3.0  # schedulers kill a process about 30 seconds after the signal
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """When to stop: at `target` accepted records, after `max_requests` requests or `max_tokens` generated tokens, when the
    recent yield is below `min_yield`, or when the recent records are less novel than `stop_diversity`. `capacity` is the
    number of requests that the engine can answer.
    """

    target: int
    min_yield: float
    max_requests: int | None = None
    max_tokens: int | None = None
    capacity: int | None = None
    stop_diversity: float | None = None


@dataclass
class Loop:
    """One generation run, from the entries that its journal already holds to the first limit reached.

    `failed` is set if the engine failed, and `replayed` once the dataset has the records of all journal entries. `generated` is
    the number of completions that this launch journalled.
    """

    plan: Plan
    engine: Engine
    journal: Journal
    curator: Curator
    writer: Writer
    funnel: Funnel
    limits: Limits
    interrupted: Callable[[], str | None]
    _waiting: dict[int, Entry] = field(default_factory=dict)
    _earlier: frozenset[int] = frozenset()
    _in_flight: dict[int, Prompt] = field(default_factory=dict)
    failed: bool = False
    replayed: bool = False
    generated: int = 0
    _errors: int = 0
    _error: str = ""
    _committed: int = 0
    _submitted: int = 0

    def replay(self, progress: Progress | None = None) -> str | None:
        """Decide on the journal's entries, publish the dataset and set `replayed`. If interrupted before that, return the
        reason and leave the files of the earlier launch unchanged. `progress` counts the entries.

        Raises `UserError` if this launch would compose other prompts than those in the journal.
        """
        self.plan.resume(self.journal.entries)
        first = self.journal.entries.get(0)
        if first is not None and first.prompt_sha256 != self.plan.ask(0)[0].sha256:
            raise UserError(
                f"{self.journal.path}: request 0 has another prompt than this launch would compose; continue with the "
                "same seeds, options, tokenizer and version, or give another --batch_dir"
            )
        # Keep only the request numbers, because the texts of a long run would fill the memory.
        self._waiting, self.journal.entries = self.journal.entries, {}
        self._earlier = frozenset(self._waiting)
        for usage in (*(entry.usage for entry in self._waiting.values()), *self.journal.spent):
            self.funnel.spending.count(usage)
        while self._commit(progress) is None and self._committed in self._waiting:
            if (reason := self.interrupted()) is not None:
                return reason
            self.curator.wait()
        self.writer.publish()
        self.replayed = True
        return None

    def run(self, progress: Progress) -> str:
        """Generate until a limit is reached, and return the reason for the stop. If the engine is lost, set `failed`."""
        reason = self._commit()
        try:
            while reason is None:
                self._submit()
                if self._in_flight:
                    for entry in self._take(self.engine.poll()):
                        self.curator.ready(entry)  # starts its tests
                elif self.curator.busy:
                    self.curator.wait()
                else:
                    return self.funnel.spending.spent() or "--script_path has no more completions"
                reason = self._commit() or self.interrupted()
                progress.update(self.funnel)
        except EngineLost as error:
            self.failed, reason = True, str(error)
        except (UserError, OSError):
            with suppress(OSError):
                self._take_the_rest()
            raise
        self._take_the_rest()
        return reason

    def finish(self) -> None:
        """Write a verdict for every task that has no answer at the end of the run."""
        verdicts = self.curator.unfinished()
        self.writer.write(None, verdicts)
        self.funnel.count_undecided(verdicts)

    @property
    def before(self) -> int:
        """The number of completions that the journal held before this launch."""
        return len(self._earlier)

    @property
    def in_flight(self) -> int:
        """The number of requests that are submitted and not answered yet."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """The number of journalled completions that are undecided, because an earlier one is missing or the run ended."""
        return len(self._waiting)

    def _take_the_rest(self) -> None:
        """Journal the completions that have finished since the last poll; the next launch decides on them."""
        self.engine.interrupt()
        self._take(self.engine.poll())

    def _take(self, completions: list[Completion]) -> list[Entry]:
        """Journal completions before they are parsed, so that no later failure loses them. Return their entries."""
        entries = [Entry.of(self._in_flight.pop(item.request), item) for item in completions]
        self.journal.append(entries)
        self.generated += len(entries)
        self._waiting.update((entry.request, entry) for entry in entries)
        for entry in entries:
            self.funnel.spending.count(entry.usage)
        return entries

    def _submit(self) -> None:
        """Submit every request that the horizon allows and no launch has answered yet, with all answers to one task at once."""
        horizon, requests = self._committed + self.plan.horizon, list[Request]()
        limits = [limit for limit in (self.limits.max_requests, self.limits.capacity) if limit is not None]
        while self._submitted < min(limits, default=horizon + self._submitted):
            index = self._submitted
            if index >= horizon and not self.plan.continues(index):
                break
            if index >= self._committed and index not in self._waiting:
                if not self.funnel.spending.allows(len(self._in_flight)):
                    break
                self._in_flight[index], request = self.plan.ask(index)
                requests.append(request)
            self._submitted += 1
        self.engine.submit(requests)

    def _commit(self, progress: Progress | None = None) -> str | None:
        """Decide on the completions that have arrived, in request order; return the limit that was reached, if any. `progress`
        counts them.

        After a signal, stop after SIGNAL_GRACE_SECONDS; the next launch decides on the rest from the journal.
        """
        begun = time.monotonic()
        while (reason := self._limit_reached()) is None and self._is_ready(self._committed):
            if self.interrupted() and time.monotonic() - begun > SIGNAL_GRACE_SECONDS:
                break
            entry = self._waiting.pop(self._committed)
            room = self.limits.target - self.funnel.accepted
            verdicts = self.curator.decide(entry, room)
            self.writer.write(entry, verdicts)
            self.funnel.count(entry, verdicts, self.curator.passed_on)
            # Errors of an earlier launch do not count for this one.
            self._errors = self._errors + 1 if entry.error and entry.request not in self._earlier else 0
            if self._errors:
                self._error = entry.error or ""
                _log.warning("request %d was not answered: %s", entry.request, entry.error)
            self._committed += 1
            if progress is not None:
                progress.reach(self._committed)
            _log.debug(
                "request %d: %d blocks, %d accepted",
                entry.request,
                len(verdicts),
                sum(v.drop is None for v in verdicts),
            )
        return reason

    def _is_ready(self, request: int) -> bool:
        """Return whether a completion has arrived and, if it holds tests, they have run."""
        return request in self._waiting and self.curator.ready(self._waiting[request])

    def _limit_reached(self) -> str | None:
        limits = self.limits
        if self._errors >= ERRORS_IN_A_ROW:
            self.failed = True
            return f"the last {ERRORS_IN_A_ROW} {UNANSWERED}: {self._error}"
        if self.funnel.accepted >= limits.target:
            return f"all {limits.target} records are accepted"
        if (unproductive := self._unproductive()) is not None:
            return unproductive
        if limits.max_tokens is not None and self.funnel.completion_tokens >= limits.max_tokens:
            return f"--max_tokens {limits.max_tokens} was reached"
        if limits.max_requests is not None and self._committed >= limits.max_requests:
            return f"--max_requests {limits.max_requests} was reached"
        return self.plan.ended()

    def _unproductive(self) -> str | None:
        """Return why the recent requests were not worth it, or None: a low yield, or records that are too near to others."""
        limits, recent = self.limits, self.funnel.recent_yield
        if recent is not None and recent < limits.min_yield:
            return (
                f"the yield of the last {self.funnel.patience} requests was {recent:.2%} of the checked blocks, under "
                f"--min_yield {limits.min_yield:.2%}; {self.funnel.likely_cause}"
            )
        if limits.stop_diversity is not None:
            novelty = self.funnel.novelty.mean  # added up only here, because that takes time
            if novelty is not None and novelty < limits.stop_diversity:
                return (
                    f"the records of the last {self.funnel.patience} requests are neighbours of earlier ones: their mean "
                    f"novelty was {novelty:.3f}, under --stop_diversity {limits.stop_diversity:g}"
                )
        return None
