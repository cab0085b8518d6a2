"""Rank 0's part of a launch: the journal is replayed, the loop generates, and the end is told."""

import sys
from pathlib import Path
from typing import Any

from self_instruct import manifest
from self_instruct.assembly import build_curator, build_origin, stop_words
from self_instruct.config import Config
from self_instruct.engines.base import Engine
from self_instruct.journal import Journal
from self_instruct.loop import Limits, Loop, numbered_stop
from self_instruct.progress import Progress
from self_instruct.prompts import PromptComposer
from self_instruct.report import Funnel, write_report
from self_instruct.signals import Interruption
from self_instruct.summary import summarise
from self_instruct.writer import Writer


def launch(
    config: Config,
    composer: PromptComposer,
    engine: Engine,
    folder: Path,
    described: dict[str, Any],
    progress: Progress,
) -> int:
    """Generates into a run directory, which `described` describes, and returns the exit code."""
    interruption = Interruption(engine.interrupt)
    # What can fail for a user's mistake comes before anything is written.
    curator = build_curator(config, composer.format, composer.header, list(composer.seeds), keeps_vectors=True)
    journal = Journal(folder)
    manifest.write(folder, described)
    writer = Writer(folder, build_origin(config, composer.format, engine.model_revision))
    funnel = Funnel(config.run.patience)
    loop = Loop(
        composer=composer,
        engine=engine,
        journal=journal,
        curator=curator,
        writer=writer,
        funnel=funnel,
        limits=Limits(config.run.num_instructions_to_generate, config.run.min_yield, config.run.max_requests),
        seed=config.run.seed,
        horizon=config.prompt.horizon or 1,
        stop=numbered_stop(config.prompt.max_tasks_per_request, stop_words(config)),
        interrupted=interruption.reason,
    )
    try:
        if journal.entries:
            print(f"Going on with {folder}: {len(journal.entries)} completions are there.", file=sys.stderr)
        before = writer.records_before()
        loop.replay()
        if funnel.accepted < before:
            print(
                f"The dataset held {before} records and now holds {funnel.accepted}, as --num_instructions_to_generate asks; "
                "the journal still holds them all.",
                file=sys.stderr,
            )
        progress.begin(funnel.accepted)
        try:
            stopped = loop.run(progress)
        finally:
            progress.close()
        write_report(folder, funnel, stopped)
    finally:
        writer.close()
        journal.close()
    print(summarise(folder, funnel, curator.pool, stopped, progress.seconds))
    if interruption.received:
        return 128 + interruption.received
    return 1 if loop.failed else 0
