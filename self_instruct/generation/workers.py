"""Start the processes that generate, beside the process that composes, decides and writes.

Parsing and comparing in a thread would slow generation in the same process several times, so rank 0 starts a separate
process to generate; every other rank only generates. With one rank, a script is replayed in the main process.
"""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from self_instruct.engines.base import Engine, ModelEngine, TokenCounter, WordCounter
from self_instruct.engines.fleet.channel import Channel
from self_instruct.engines.fleet.pool import WorkerPool
from self_instruct.engines.fleet.worker import Worker
from self_instruct.engines.fleet.world import MeetingPlace, World, connect
from self_instruct.errors import UserError
from self_instruct.generation.assembly import build_endpoint, build_engine, build_reader
from self_instruct.generation.config import Config
from self_instruct.generation.signals import SIGNALS, Interruption
from self_instruct.runs import logs


@dataclass(frozen=True)
class Generators:
    """The engine of a run, and the pool of generating processes: None if this process replays a script or asks a server."""

    reader: TokenCounter
    engine: Engine
    pool: WorkerPool | None = None


@contextmanager
def started(
    config: Config, world: World, on_tokens: Callable[[int], None], own: Engine | None = None
) -> Iterator[Generators]:
    """Start rank 0's generating process and accept connections from the other ranks; end all of them on exit.

    `own` is an engine to use in this process instead. Raises `UserError` if the model's tokenizer or configuration cannot be
    loaded.
    """
    if own is not None:
        if world.size > 1:
            raise UserError(f"an engine object runs in one process, but {world.size} were launched; launch one")
        yield Generators(own if isinstance(own, TokenCounter) else WordCounter(), own)
        return
    if config.model.engine == "scripted" and world.size == 1:
        engine = _load(config, world, on_tokens)
        yield Generators(build_reader(config), engine)
        return
    if config.model.engine == "openai":
        # A thread of this process asks; the server does the work.
        if world.size > 1:
            raise UserError(
                f"--engine openai needs one process, which asks for all, but {world.size} were launched; use --num_processes 1"
            )
        asking = build_endpoint(config, on_tokens)
        try:
            yield Generators(asking, asking)
        finally:
            asking.close()
        return
    connection, process = _start(config, world)
    place = None
    try:
        # The other process is loading the model; this one needs only the tokenizer and one core.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        reader = build_reader(config)
        pool = WorkerPool(_leaders(config, world), reader.model_revision, on_tokens)
        pool.add(connection, process)
        if world.size > 1:
            place = MeetingPlace(world)
            pool.listen(place.listener, place.secret)
        try:
            yield Generators(reader, pool, pool)
        finally:
            if place is not None:
                place.close()
            pool.close()
    finally:
        process.kill()


def serve(config: Config, world: World, interruption: Interruption) -> int:
    """Generate for rank 0 until it ends the work, as any other rank; return the exit code."""
    if world.rank not in _leaders(config, world):
        build_engine(config, world, lambda rows: None)
        return 0
    connection = connect(world)
    if connection is None:
        return 0
    worker = Worker(Channel(connection), world.rank, partial(_load, config, world))
    interruption.tell(worker.end)
    whole = worker.run()
    return 128 + interruption.received if interruption.received else int(not whole)


def _leaders(config: Config, world: World) -> range:
    """Return the ranks that receive requests: all, or the first of each group that holds one model."""
    return range(0, world.size, config.model.tensor_parallel_size)


def _load(config: Config, world: World, on_step: Callable[[int], None]) -> ModelEngine:
    engine = build_engine(config, world, on_step)
    assert engine is not None, "only the later ranks of a group have no engine"
    return engine


def _start(config: Config, world: World) -> tuple[Connection, BaseProcess]:
    """Start rank 0's generating process; return the connection to it and the process."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_generate, args=(its, config, world), name="generation", daemon=True)
    # A signal from a terminal or a scheduler reaches both processes, and only this one handles it: block the signals while
    # the other starts, so that it inherits the mask. Start multiprocessing's tracker before, since it unblocks them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    its.close()
    return mine, process


def _generate(connection: Connection, config: Config, world: World) -> None:
    logs.configure(config.reporting.log_level)
    if config.run.batch_dir:
        logs.write_to(Path(config.run.batch_dir), 0, "generation")
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the launcher or rank 0's other process holds the store
    if "OMP_NUM_THREADS" not in os.environ:
        # More threads than cores in both processes together slow each other. Comparing embeddings keeps a core busy; comparing
        # words does not.
        judging = config.novelty.embedding_threshold is not None
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - judging))
    try:
        Worker(Channel(connection), 0, partial(_load, config, world)).run()
    finally:
        gc.freeze()  # as in cli.guarded
