"""Rank 0's part of a launch: the journal is replayed, the loop generates, and the end is told."""

import sys
from pathlib import Path
from typing import Any

from self_instruct import manifest
from self_instruct.config import Config
from self_instruct.distributed import news
from self_instruct.distributed.pool import WorkerPool
from self_instruct.forecast import Forecast, tokens_per_record
from self_instruct.funnel import write_report
from self_instruct.generators import Generators
from self_instruct.journal import Journal
from self_instruct.loop import Limits, Loop
from self_instruct.progress import Progress
from self_instruct.recipes import Recipe
from self_instruct.signals import Interruption


def launch(
    config: Config,
    recipe: Recipe,
    generators: Generators,
    folder: Path,
    described: dict[str, Any],
    progress: Progress,
    interruption: Interruption,
) -> int:
    """Generates into a run directory, which `described` describes, and returns the exit code."""
    pool = generators.pool
    interruption.tell(generators.engine.interrupt)
    # What can fail for a user's mistake comes before anything is written.
    planning = recipe.planning(generators.reader)
    curator = recipe.judge(keeps_vectors=True)
    if pool is not None:
        pool.wait_until_ready()
    if config.run.plan:
        interruption.after(config.run.plan_seconds, f"the {config.run.plan_seconds:g} seconds of the pilot are over")
    elif config.run.max_hours is not None:
        interruption.after(3600 * config.run.max_hours, f"--max_hours {config.run.max_hours:g} are over")
    journal = Journal(folder)
    manifest.write(folder, described)
    run, writer = config.run, recipe.writer(folder, generators.reader.model_revision)
    loop = Loop(
        plan=planning(curator, journal.entries),
        engine=generators.engine,
        journal=journal,
        curator=curator,
        writer=writer,
        funnel=recipe.funnel(),
        limits=Limits(
            run.num_instructions_to_generate,
            # Categories are given up one by one.
            run.min_yield if config.mixture.categories is None else 0.0,
            run.max_requests,
            run.max_tokens,
            generators.reader.capacity,
        ),
        interrupted=interruption.reason,
    )
    try:
        if journal.entries:
            print(f"Going on with {folder}: {len(journal.entries)} completions are there.", file=sys.stderr)
        stopped = _run(loop, progress)
        loop.finish()
        write_report(folder, loop.funnel, stopped)
    finally:
        writer.close()
        journal.close()
    if config.run.plan:
        print(_forecast(config, loop, pool, stopped))
    else:
        idle = (news.idleness(pool.news), news.occupancy(pool.news)) if pool is not None else None
        print(recipe.told(folder, loop.funnel, curator.pool, stopped, progress.seconds, idle))
    if interruption.received:
        return 128 + interruption.received
    return 1 if loop.failed else 0


def _run(loop: Loop, progress: Progress) -> str:
    """Replays the journal, then generates; the reason why it stopped."""
    before = loop.writer.records_before()
    loop.replay()
    accepted = loop.funnel.accepted
    if accepted < before:
        print(
            f"The dataset held {before} records and now holds {accepted}, as --num_instructions_to_generate asks; the journal "
            "still holds them all.",
            file=sys.stderr,
        )
    progress.begin(accepted)
    try:
        return loop.run(progress)
    finally:
        progress.close()


def _forecast(config: Config, loop: Loop, pool: WorkerPool | None, stopped: str) -> str:
    """What --plan tells after its pilot."""
    funnel, target = loop.funnel, config.run.num_instructions_to_generate
    told = [
        f"Pilot: {stopped}; {funnel.accepted:,} records from {funnel.requests:,} requests, yield {funnel.yield_:.0%}."
    ]
    ratio = tokens_per_record(funnel.samples)
    if pool is None:
        return f"{told[0]} A script takes no time worth a forecast."
    speed = news.tokens_per_second(pool.news)
    told += [f"It fits: {line}." for line in news.fit(pool.news)]
    if ratio is None or not speed:
        told.append(
            f"No record was accepted in the pilot ({funnel.blocks:,} blocks from {funnel.requests:,} requests), so there is "
            "nothing to forecast from; raise --plan_seconds, or see what the model writes in the journal of a --batch_dir."
        )
        return "\n".join(told)
    forecast = Forecast(target - funnel.accepted, speed, ratio, news.devices(pool.news), config.run.gpu_hour_price)
    told.append(f"To {target:,} records, if the yield stays (ranges: 95 %, from the differences between requests):")
    return "\n".join([*told, *forecast.lines()])
