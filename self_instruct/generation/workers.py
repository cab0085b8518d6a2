"""Starting the processes that generate, beside the one that composes, judges and writes.

A Python thread that parses and compares slows generation in the same process by a factor; so rank 0 generates in a process
of its own, and every other rank is such a process already. A script is replayed where it is read, unless several ranks are
to share it.
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
    """What generates: `pool` is all processes, and the engine itself, or None where a script is replayed, or a server asked,
    in this one.
    """

    reader: TokenCounter
    engine: Engine
    pool: WorkerPool | None = None


@contextmanager
def started(
    config: Config, world: World, on_tokens: Callable[[int], None], own: Engine | None = None
) -> Iterator[Generators]:
    """Starts rank 0's process and listens for the others; all are ended at the end. Models are loaded meanwhile.

    `own` is an engine that generates in this process in place of them. Raises `UserError` if the model's tokenizer or
    configuration cannot be loaded.
    """
    if own is not None:
        if world.size > 1:
            raise UserError(f"an engine of your own runs in one process, but {world.size} were launched; launch one")
        yield Generators(own if isinstance(own, TokenCounter) else WordCounter(), own)
        return
    if config.model.engine == "scripted" and world.size == 1:
        engine = _load(config, world, on_tokens)
        yield Generators(build_reader(config), engine)
        return
    if config.model.engine == "openai":
        # A thread of this process asks; the work is done elsewhere.
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
        # The process is loading the model by now; this one needs the tokenizer only, and one of the machine's cores.
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
    """What every rank but 0 does: generates for rank 0 until that says it is enough. The exit code."""
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
    """The ranks that are given requests: all, or the first of those that hold a model together."""
    return range(0, world.size, config.model.tensor_parallel_size)


def _load(config: Config, world: World, on_step: Callable[[int], None]) -> ModelEngine:
    engine = build_engine(config, world, on_step)
    assert engine is not None, "only a rank that follows another has no engine"
    return engine


def _start(config: Config, world: World) -> tuple[Connection, BaseProcess]:
    """Rank 0's generating process, and the connection to it."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_generate, args=(its, config, world), name="generation", daemon=True)
    # A signal of a terminal or a scheduler reaches both processes, and this one decides what it means: the other is born
    # with these blocked, and here they wait. multiprocessing's tracker, when it is started, would let them through.
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
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = (
        "True"  # the store is kept by the launcher or by rank 0's other process
    )
    if "OMP_NUM_THREADS" not in os.environ:
        # Two processes that together use more threads than there are cores slow each other, and judging by meaning keeps a
        # core busy; judging by words does not.
        judging = config.novelty.embedding_threshold is not None
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - judging))
    try:
        Worker(Channel(connection), 0, partial(_load, config, world)).run()
    finally:
        gc.freeze()  # as in cli.guarded
