"""Launch a run: check the options against the directory, replay the journal, run the loop."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from self_instruct import __version__
from self_instruct.config.option import declarations
from self_instruct.engines.base import Engine, TokenCounter
from self_instruct.engines.choice import check_engine
from self_instruct.engines.fleet import stats
from self_instruct.engines.fleet.engine import Fleet
from self_instruct.engines.fleet.world import current_world
from self_instruct.engines.local.chat_template import PINNED_DATE
from self_instruct.engines.server.connecting import check_given
from self_instruct.errors import FILE_ONLY, UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.assembly import build_format, build_spending, warn_of_unused_length
from self_instruct.generation.automatic_options import with_earlier_choices
from self_instruct.generation.categories.recipe import CategoryRecipe
from self_instruct.generation.config import GROUPS, Config, flatten
from self_instruct.generation.forecast import Forecast, tokens_per_record
from self_instruct.generation.loop import Limits, Loop
from self_instruct.generation.progress import REPLAYED, Load, Progress
from self_instruct.generation.recipe import Recipe, SeedRecipe
from self_instruct.generation.signals import Interruption
from self_instruct.generation.summary import Ending, yield_text
from self_instruct.generation.tracking import Tracker, check_installed
from self_instruct.generation.workers import Generators, serve, started
from self_instruct.rules.sandbox import open_sandbox
from self_instruct.runs import logs, manifest
from self_instruct.runs.backup import set_aside
from self_instruct.runs.found_rows import write_found_rows
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Journal
from self_instruct.runs.report import write_report

_log = logging.getLogger(__name__)


class RunObserver(Protocol):
    """Follows a run on rank 0, in addition to the progress display."""

    def begin(self) -> None:
        """Prepare to follow the run. The run directory holds the records of earlier launches; the model is not loaded yet."""

    def update(self, funnel: Funnel, tokens_per_second: float) -> None:
        """Receive the figures after each decision. The accepted records are in the run directory."""


@dataclass(frozen=True)
class Ended:
    """How a process of a launch ended: its exit code, and on rank 0 the text to print.

    The code is 0 when a limit was reached, 1 when the engine failed, 128 + n after signal n.
    """

    code: int
    text: str | None = None


def build_recipe(config: Config, base: RecordFormat, prompt_path: Path) -> Recipe:
    """Build the recipe that the options name; `prompt_path` is the header's file if no option gives one.

    Raises `UserError` for a mistake in an option or a file.
    """
    if config.category.categories is None:
        return SeedRecipe.of(config, build_format(base, config), prompt_path)
    return CategoryRecipe.of(config, base)


def generate(
    recipe: Recipe,
    *,
    ask: Callable[[str], bool] | None = None,
    again: Sequence[str] | None = None,
    engine: Engine | None = None,
    observer: RunObserver | None = None,
) -> Ended:
    """Generate from a recipe into --batch_dir, as one process of a launch: rank 0 decides and writes, the others serve it.

    `ask` asks the user a question and is None without a terminal; `again` is the command of this launch as a list of words,
    for the text at the end; `engine` replaces the engine of the options; `observer` follows the run. Raises `UserError` for a
    mistake in an option or a file, `OSError` if the disk fails.
    """
    config, declared = recipe.config, declarations(GROUPS)
    check_installed(config.reporting.report_to)
    check_given(config.endpoint.api_base, config.endpoint.api_extra_body, logs.without_secrets)
    check_engine(config.model.engine, flatten(config))
    world, folder, run = current_world(), Path(config.run.batch_dir or ""), config.run
    recipe.check()
    build_spending(config)  # raises UserError for a wrong price
    if config.verification.verify and world.is_main:
        open_sandbox(config.verification.sandbox)  # raises UserError now, rather than when the first tests are to run
    holds = {"overwrite": run.overwrite, "append": run.append, "yes": run.yes}
    fresh = set_aside(folder, **holds, is_main=world.is_main, ask=ask)
    earlier = None if fresh else manifest.of_journal(folder)
    config = with_earlier_choices(config, earlier)
    recipe = recipe.with_config(config)
    if earlier is not None:
        # Report changed options now, rather than after loading the model.
        likely = _described(recipe, earlier.get("model_revision"), earlier.get(manifest.TEMPLATE))
        manifest.check_same_plan(folder, earlier, likely, declared)
    interruption = Interruption()
    logs.write_to(folder, world.rank)
    if not world.is_main:
        try:
            return Ended(serve(config, world, folder, interruption))
        except UserError as error:
            raise UserError(str(error), world.rank) from error
    progress = Progress(run.num_instructions_to_generate, every=config.reporting.heartbeat_seconds)
    if observer is not None:
        observer.begin()
        progress.observers.append(observer.update)
    with started(config, world, folder, interruption, progress.step, engine) as generators:
        reader = generators.reader
        warn_of_unused_length(config.sampling.max_length, reader)
        recipe = recipe.for_model(reader)
        described = _described(recipe, reader.model_revision, template_of(reader))
        if earlier is not None:
            manifest.check_same_plan(folder, earlier, described, declared)
        return launch(recipe, generators, folder, described, progress, interruption, again)


def _described(recipe: Recipe, model_revision: Any, template: dict[str, str] | None) -> dict[str, Any]:
    """Return the content of run.yaml; `template` describes the chat template."""
    more: dict[str, Any] = {manifest.TEMPLATE: template} if template else {}
    return manifest.describe(
        flatten(recipe.config), recipe.format.name, model_revision=model_revision, **recipe.described(), **more
    )


def template_of(reader: TokenCounter) -> dict[str, str] | None:
    """Return the entry of run.yaml for the chat template, None without one. Log the date that a template prints."""
    template = getattr(reader, "template", None)
    if template is None:
        return None
    date = {"pinned_date": f"{PINNED_DATE:%Y-%m-%d}"} if template.prints_date else {}
    if date:
        _log.info("The chat template prints a date: every prompt of the run has %(pinned_date)s.", date)
    return {"sha256": template.sha256, **date}


def launch(
    recipe: Recipe,
    generators: Generators,
    folder: Path,
    described: dict[str, Any],
    progress: Progress,
    interruption: Interruption,
    again: Sequence[str] | None = None,
) -> Ended:
    """Generate into a run directory, as rank 0; `described` is the content of its run.yaml."""
    config, fleet, revision = recipe.config, generators.fleet, generators.reader.model_revision
    # It raises UserError for invalid options, so call it before anything is written.
    session = recipe.session(generators.reader)
    interruption.set_callback(generators.engine.interrupt)  # until now there was nothing to save
    if fleet is not None:
        fleet.wait_until_ready()
        if fleet.method:
            described["engine"] = fleet.method
    if config.run.plan:
        interruption.stop_after(config.run.plan_seconds, f"--plan_seconds {config.run.plan_seconds:g} was reached")
    elif config.run.max_hours is not None:
        interruption.stop_after(3600 * config.run.max_hours, f"--max_hours {config.run.max_hours:g} was reached")
    begun = time.monotonic()
    with closing(Journal(folder)) as journal:
        manifest.write(folder, described)
        with closing(recipe.writer(folder, revision)) as writer, session.curator.results(folder):
            limits, funnel = _limits(config, generators.reader.capacity), recipe.funnel()
            loop = Loop(
                session.plan, generators.engine, journal, session.curator, writer, funnel, limits, interruption.reason
            )
            progress.load = lambda: _load(loop, fleet)
            _log.info("self_instruct %s begins with %s", __version__, revision, extra=FILE_ONLY)
            with _tracked(config, folder, len(recipe.seeds), described, progress, loop.funnel):
                stopped = _run(loop, progress, begun, config.reporting.heartbeat_seconds)
            _log.info("stopped: %s", stopped, extra=FILE_ONLY)
            if loop.replayed:
                loop.finish()
                session.curator.save_vectors()
                write_report(folder, loop.funnel, stopped, session.curator.pool, recipe.seeds)
    if not loop.replayed:
        text = (
            f"Stopped: {stopped}, before the whole journal was replayed. The dataset is unchanged; run the same command to "
            "continue."
        )
    elif config.run.plan:
        text = _forecast(config, loop, fleet, stopped, progress.tokens_per_second)
        tried = stats.rows_tried(fleet.stats) if fleet is not None else None
        if tried is not None and tried.conclusive:
            write_found_rows(folder, tried.hardware, tried.rows, tried.speeds)
    else:
        # An engine object of the user's may be the reader, and may lack this attribute.
        demonstration = getattr(generators.reader, "demonstration", False)
        more = {
            "pool": session.curator.pool,
            "options": described["options"],
            "again": again,
            "demonstration": demonstration,
        }
        text = recipe.summary(_ending(loop, folder, stopped, progress.seconds, fleet, more))
    return Ended(128 + interruption.received if interruption.received else int(loop.failed), text)


def _ending(
    loop: Loop, folder: Path, stopped: str, seconds: float, fleet: Fleet | None, more: Mapping[str, Any]
) -> Ending:
    """Return how the loop ended; `seconds` is how long this launch generated, and `more` are further fields."""
    ran = loop.generated > 0
    idle = (stats.idleness(fleet.stats), stats.occupancy(fleet.stats)) if ran and fleet is not None else None
    return Ending(
        folder, loop.funnel, stopped=stopped, seconds=seconds if ran else None, before=loop.before, idle=idle,
        waiting=loop.waiting, failed=loop.failed, **more,
    )  # fmt: skip


def _limits(config: Config, capacity: int | None) -> Limits:
    run = config.run
    # With categories, --min_yield applies to each category by itself.
    min_yield = run.min_yield if config.category.categories is None else 0.0
    return Limits(
        run.num_instructions_to_generate, min_yield, run.max_requests, run.max_tokens, capacity, run.stop_diversity
    )


@contextmanager
def _tracked(
    config: Config, folder: Path, compared: int, described: dict[str, Any], progress: Progress, funnel: Funnel
) -> Iterator[None]:
    """Report the run to the tracker of --report_to inside this block."""
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


def _load(loop: Loop, fleet: Fleet | None) -> Load:
    """Return the current load of generation."""
    if fleet is None:
        return Load(loop.in_flight, loop.in_flight)
    ranks = fleet.stats
    taken, memory = sum(item.taken for item in ranks), sum(item.memory for item in ranks)
    return Load(fleet.in_flight, fleet.rows, taken, memory, stats.devices(ranks))


def _run(loop: Loop, progress: Progress, begun: float, every: float) -> str:
    """Replay the journal, then generate; return why the run stopped. The journal was opened at `begun`; a replay logs a line
    every `every` seconds.
    """
    before, replaying = loop.writer.records_before(), None
    if loop.journal.entries:
        _log.info(
            "Continuing the run in %s, which has %d completions.", loop.journal.path.parent, len(loop.journal.entries)
        )
        replaying = Progress(len(loop.journal.entries), unit=REPLAYED, every=every)
        replaying.begin(0)
    try:
        reason = loop.replay(replaying)
    finally:
        if replaying is not None:
            replaying.close()
    if reason:
        return reason
    if replaying is not None:
        _log.info("Replayed %d completions in %.1f s.", loop.funnel.requests, time.monotonic() - begun)
    accepted = loop.funnel.accepted
    if accepted < before:
        smaller = accepted >= loop.limits.target
        _log.warning(
            "The dataset had %d records and now has %d, because %s; the journal still has all completions.", before, accepted,
            "--num_instructions_to_generate is smaller" if smaller else "this version drops more candidates",
        )  # fmt: skip
    progress.begin(accepted)
    try:
        return loop.run(progress)
    finally:
        progress.close()


def _forecast(config: Config, loop: Loop, fleet: Fleet | None, stopped: str, speed: float) -> str:
    """Return the text after the pilot of --plan; `speed` is the pilot's tokens a second, without earlier launches."""
    funnel, target = loop.funnel, config.run.num_instructions_to_generate
    lines = [f"Pilot: {stopped}; {funnel.accepted:,} records from {funnel.requests:,} requests, {yield_text(funnel)}."]
    ratio = tokens_per_record(funnel.samples)
    if fleet is None and config.model.engine == "scripted":
        return f"{lines[0]} A script has no speed to forecast from."
    ranks = fleet.stats if fleet is not None else []
    speed = stats.tokens_per_second(ranks) if ranks else speed
    tried = stats.rows_tried(ranks)
    lines += [tried.line()] if tried is not None else []
    lines += [f"Memory: {line}." for line in stats.memory_lines(ranks)]
    if funnel.spending.completions:
        lines.append(funnel.spending.summary())
    if ratio is None or not speed:
        lines.append(
            f"No record was accepted in the pilot ({funnel.blocks:,} blocks from {funnel.requests:,} requests), so there is "
            "nothing to forecast from; raise --plan_seconds, or give --batch_dir and read in its journal what the model writes."
        )
        return "\n".join(lines)
    forecast = Forecast(target - funnel.accepted, speed, ratio, stats.devices(ranks), config.run.gpu_hour_price)
    lines.append(
        f"Forecast to {target:,} records, if the yield stays the same (95 % ranges from the spread of requests):"
    )
    return "\n".join([*lines, *forecast.lines()])
