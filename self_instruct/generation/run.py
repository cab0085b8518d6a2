"""Launch a run: check the options against the directory, replay the journal, run the loop."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from self_instruct.generation.assembly import as_before, build_format, build_spending
from self_instruct.generation.categories.recipe import CategoryRecipe
from self_instruct.generation.config import GROUPS, Config, flatten
from self_instruct.generation.forecast import Forecast, tokens_per_record
from self_instruct.generation.loop import Limits, Loop
from self_instruct.generation.progress import Load, Progress
from self_instruct.generation.recipe import Recipe, SeedRecipe
from self_instruct.generation.signals import Interruption
from self_instruct.generation.summary import Ending, yield_text
from self_instruct.generation.tracking import Tracker, check_installed
from self_instruct.generation.workers import Generators, serve, started
from self_instruct.runs import logs, manifest
from self_instruct.runs.backup import set_aside
from self_instruct.runs.funnel import Funnel, write_report
from self_instruct.runs.journal import Journal

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """How a process of a launch ended: its exit code, and on rank 0 the text to print.

    The code is 0 when a limit was reached, 1 when the engine failed, 128 + n after signal n.
    """

    code: int
    text: str | None = None


def build_recipe(config: Config, base: RecordFormat, prompt_path: Path) -> Recipe:
    """Build the recipe that the options name; `prompt_path` is the header where no option gives one.

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
) -> Ended:
    """Generate from a recipe into --batch_dir, as one process of a launch: rank 0 decides and writes, the others serve it.

    `ask` asks the user a question and is None where there is no terminal; `again` is the command of this launch, word by word,
    for the text at the end; `engine` generates in place of the one that the options name. Raises `UserError` for a mistake
    of the user's, `OSError` if the disk fails.
    """
    config, declared = recipe.config, declarations(GROUPS)
    check_installed(config.reporting.report_to)
    check_given(config.endpoint.api_base, config.endpoint.api_extra_body, logs.without_secrets)
    check_engine(config.model.engine, flatten(config))
    world, folder, run = current_world(), Path(config.run.batch_dir or ""), config.run
    recipe.check()
    holds = {"overwrite": run.overwrite, "append": run.append, "yes": run.yes}
    fresh = set_aside(folder, **holds, is_main=world.is_main, ask=ask)
    earlier = None if fresh else manifest.of_journal(folder)
    config = as_before(config, earlier)
    recipe = recipe.with_config(config)
    if earlier is not None:
        # Refuse what can be refused before a model is loaded.
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
    with started(config, world, folder, interruption, progress.step, engine) as generators:
        reader = generators.reader
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
    """Return what pins the texts that a chat template renders, and log it if a date is pinned; None without a template."""
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
    config, fleet = recipe.config, generators.fleet
    # Find the user's mistakes before anything is written.
    session = recipe.session(generators.reader)
    build_spending(config)
    interruption.tell(generators.engine.interrupt)  # before this there was nothing to save
    if fleet is not None:
        fleet.wait_until_ready()
        if fleet.method:
            described["engine"] = fleet.method
    if config.run.plan:
        interruption.after(config.run.plan_seconds, f"the {config.run.plan_seconds:g} seconds of the pilot are over")
    elif config.run.max_hours is not None:
        interruption.after(3600 * config.run.max_hours, f"--max_hours {config.run.max_hours:g} are over")
    with closing(Journal(folder)) as journal:
        manifest.write(folder, described)
        with closing(recipe.writer(folder, generators.reader.model_revision)) as writer:
            limits, funnel = _limits(config, generators.reader.capacity), recipe.funnel()
            loop = Loop(
                session.plan, generators.engine, journal, session.curator, writer, funnel, limits, interruption.reason
            )
            progress.load = lambda: _load(loop, fleet)
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
            f"Stopped: {stopped}, before the whole journal was judged again. The dataset is unchanged; run the same command to "
            "continue."
        )
    elif config.run.plan:
        text = _forecast(config, loop, fleet, stopped, progress.tokens_per_second)
    else:
        idle = (stats.idleness(fleet.stats), stats.occupancy(fleet.stats)) if fleet is not None else None
        # A user's engine may be the reader, and need not say so.
        demonstration = getattr(generators.reader, "demonstration", False)
        text = recipe.summary(
            Ending(
                folder, loop.funnel, session.curator.pool, stopped, described["options"], progress.seconds, idle, again,
                loop.waiting, loop.failed, demonstration,
            )
        )  # fmt: skip
    return Ended(128 + interruption.received if interruption.received else int(loop.failed), text)


def _limits(config: Config, capacity: int | None) -> Limits:
    run = config.run
    # Each category is given up separately.
    min_yield = run.min_yield if config.category.categories is None else 0.0
    return Limits(run.num_instructions_to_generate, min_yield, run.max_requests, run.max_tokens, capacity)


@contextmanager
def _tracked(
    config: Config, folder: Path, compared: int, described: dict[str, Any], progress: Progress, funnel: Funnel
) -> Iterator[None]:
    """Report the run to the tracker of --report_to."""
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
        return Load(loop.under_way, loop.under_way)
    heard = fleet.stats
    taken, memory = sum(item.taken for item in heard), sum(item.memory for item in heard)
    return Load(fleet.in_flight, fleet.rows, taken, memory, stats.devices(heard))


def _run(loop: Loop, progress: Progress) -> str:
    """Replay the journal, then generate; return why the run stopped."""
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


def _forecast(config: Config, loop: Loop, fleet: Fleet | None, stopped: str, speed: float) -> str:
    """Return the text after the pilot of --plan; `speed` is the pilot's tokens a second, without earlier launches."""
    funnel, target = loop.funnel, config.run.num_instructions_to_generate
    lines = [f"Pilot: {stopped}; {funnel.accepted:,} records from {funnel.requests:,} requests, {yield_text(funnel)}."]
    ratio = tokens_per_record(funnel.samples)
    if fleet is None and config.model.engine == "scripted":
        return f"{lines[0]} A script has no speed to forecast from."
    heard = fleet.stats if fleet is not None else []
    speed = stats.tokens_per_second(heard) if heard else speed
    lines += [f"It fits: {line}." for line in stats.memory_lines(heard)]
    if funnel.spending.completions:
        lines.append(funnel.spending.summary())
    if ratio is None or not speed:
        lines.append(
            f"No record was accepted in the pilot ({funnel.blocks:,} blocks from {funnel.requests:,} requests), so there is "
            "nothing to forecast from; raise --plan_seconds, or see what the model writes in the journal of a --batch_dir."
        )
        return "\n".join(lines)
    forecast = Forecast(target - funnel.accepted, speed, ratio, stats.devices(heard), config.run.gpu_hour_price)
    lines.append(f"To {target:,} records, if the yield stays (ranges: 95 %, from the differences between requests):")
    return "\n".join([*lines, *forecast.lines()])
