"""Rank 0's part of a launch: the journal is replayed, the loop generates, and the end is told."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from self_instruct import __version__
from self_instruct.engines.fleet import news
from self_instruct.engines.fleet.pool import WorkerPool
from self_instruct.errors import FILE_ONLY
from self_instruct.generation.assembly import build_spending
from self_instruct.generation.config import Config
from self_instruct.generation.forecast import Forecast, tokens_per_record
from self_instruct.generation.loop import Limits, Loop
from self_instruct.generation.progress import Load, Progress
from self_instruct.generation.recipe import Recipe
from self_instruct.generation.signals import Interruption
from self_instruct.generation.tracking import Tracker
from self_instruct.generation.workers import Generators
from self_instruct.runs import manifest
from self_instruct.runs.funnel import Funnel, write_report
from self_instruct.runs.journal import Journal

_log = logging.getLogger(__name__)


def launch(
    config: Config,
    recipe: Recipe,
    generators: Generators,
    folder: Path,
    described: dict[str, Any],
    progress: Progress,
    interruption: Interruption,
) -> tuple[int, str]:
    """Generates into a run directory, which `described` describes; the exit code, and what a person reads at the end."""
    pool = generators.pool
    # What can fail for a user's mistake comes before anything is written.
    planning = recipe.planning(generators.reader)
    curator = recipe.judge(keeps_vectors=True)
    build_spending(config)
    interruption.tell(generators.engine.interrupt)  # until here there was nothing to save
    if pool is not None:
        pool.wait_until_ready()
    if config.run.plan:
        interruption.after(config.run.plan_seconds, f"the {config.run.plan_seconds:g} seconds of the pilot are over")
    elif config.run.max_hours is not None:
        interruption.after(3600 * config.run.max_hours, f"--max_hours {config.run.max_hours:g} are over")
    with closing(Journal(folder)) as journal:
        manifest.write(folder, described)
        with closing(recipe.writer(folder, generators.reader.model_revision)) as writer:
            plan, limits = planning(curator, journal.entries), _limits(config, generators.reader.capacity)
            funnel, interrupted = recipe.funnel(), interruption.reason
            loop = Loop(plan, generators.engine, journal, curator, writer, funnel, limits, interrupted)
            progress.load = lambda: _load(loop, pool)
            _log.info(
                "self_instruct %s begins with %s", __version__, generators.reader.model_revision, extra=FILE_ONLY
            )
            if journal.entries:
                _log.info("Going on with %s: %d completions are there.", folder, len(journal.entries))
            with _tracked(config, folder, len(recipe.seeds), described, progress, loop.funnel):
                stopped = _run(loop, progress)
            _log.info("stopped: %s", stopped, extra=FILE_ONLY)
            if loop.replayed:
                loop.finish()
                write_report(folder, loop.funnel, stopped)
    if not loop.replayed:
        text = (
            f"Stopped: {stopped}, before all that the journal holds was judged again; the files are as they were, and the same "
            "command goes on."
        )
    elif config.run.plan:
        text = _forecast(config, loop, pool, stopped, progress.tokens_per_second)
    else:
        idle = (news.idleness(pool.news), news.occupancy(pool.news)) if pool is not None else None
        seconds, anew = progress.seconds, config.run.overwrite
        text = recipe.told(folder, loop.funnel, curator.pool, stopped, seconds, idle, anew)
    if interruption.received:
        return 128 + interruption.received, text
    return (1 if loop.failed else 0), text


def _limits(config: Config, capacity: int | None) -> Limits:
    run = config.run
    # Categories are given up one by one.
    min_yield = run.min_yield if config.mixture.categories is None else 0.0
    return Limits(run.num_instructions_to_generate, min_yield, run.max_requests, run.max_tokens, capacity)


@contextmanager
def _tracked(
    config: Config, folder: Path, compared: int, described: dict[str, Any], progress: Progress, funnel: Funnel
) -> Iterator[None]:
    """Reports the run to the tracker that is asked for."""
    if config.reporting.report_to == "none":
        yield
        return
    tracker = Tracker(config.reporting.report_to, folder, compared, described["options"])
    progress.observers.append(tracker.update)
    try:
        yield
    finally:
        tracker.report(funnel, progress.tokens_per_second)
        tracker.close()


def _load(loop: Loop, pool: WorkerPool | None) -> Load:
    """What generation does now."""
    if pool is None:
        return Load(loop.under_way, loop.under_way)
    told = pool.news
    return Load(
        pool.in_flight,
        pool.rows,
        sum(item.taken for item in told),
        sum(item.memory for item in told),
        news.devices(told),
    )


def _run(loop: Loop, progress: Progress) -> str:
    """Replays the journal, then generates; the reason why it stopped."""
    before = loop.writer.records_before()
    if reason := loop.replay():
        return reason
    accepted = loop.funnel.accepted
    if accepted < before:
        smaller = accepted >= loop.limits.target
        _log.warning(
            "The dataset held %d records and now holds %d, as %s; the journal still holds them all.", before, accepted,
            "--num_instructions_to_generate asks" if smaller else "this version judges its completions",
        )  # fmt: skip
    progress.begin(accepted)
    try:
        return loop.run(progress)
    finally:
        progress.close()


def _forecast(config: Config, loop: Loop, pool: WorkerPool | None, stopped: str, speed: float) -> str:
    """What --plan tells after its pilot; `speed` is of the pilot alone, in tokens a second, whatever earlier launches wrote."""
    funnel, target = loop.funnel, config.run.num_instructions_to_generate
    told = [
        f"Pilot: {stopped}; {funnel.accepted:,} records from {funnel.requests:,} requests, yield {funnel.yield_:.0%}."
    ]
    ratio = tokens_per_record(funnel.samples)
    if pool is None and config.model.engine == "scripted":
        return f"{told[0]} A script takes no time worth a forecast."
    heard = pool.news if pool is not None else []
    speed = news.tokens_per_second(heard) if heard else speed
    told += [f"It fits: {line}." for line in news.fit(heard)]
    if funnel.spending.completions:
        told.append(funnel.spending.told())
    if ratio is None or not speed:
        told.append(
            f"No record was accepted in the pilot ({funnel.blocks:,} blocks from {funnel.requests:,} requests), so there is "
            "nothing to forecast from; raise --plan_seconds, or see what the model writes in the journal of a --batch_dir."
        )
        return "\n".join(told)
    forecast = Forecast(target - funnel.accepted, speed, ratio, news.devices(heard), config.run.gpu_hour_price)
    told.append(f"To {target:,} records, if the yield stays (ranges: 95 %, from the differences between requests):")
    return "\n".join([*told, *forecast.lines()])
