"""Start the processes that generate, beside the one that composes, decides and writes.

A Python thread that parses and compares slows generation in the same process by a factor; so rank 0 generates in a child
process, and every other rank is such a process already. A script is replayed where it is read, unless several ranks share it.
Rank 0 and its child talk through a pipe, or through the launcher's store if there are other ranks.
"""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from self_instruct.engines import check_model
from self_instruct.engines.base import Engine, TokenCounter, WordCounter
from self_instruct.engines.fleet.engine import Fleet
from self_instruct.engines.fleet.messages import (
    PATIENCE_SECONDS,
    LaunchKey,
    PipeCarrier,
    StoreCarrier,
    open_store,
    read_key,
)
from self_instruct.engines.fleet.worker import Access, Worker
from self_instruct.engines.fleet.world import World
from self_instruct.errors import UserError
from self_instruct.generation.assembly import build_endpoint, build_engine, build_reader
from self_instruct.generation.config import Config
from self_instruct.generation.signals import SIGNALS, Interruption
from self_instruct.runs import logs


@dataclass(frozen=True)
class Generators:
    """The engine, and the fleet if it is one: None where this process replays a script or asks a server."""

    reader: TokenCounter
    engine: Engine
    fleet: Fleet | None = None


@contextmanager
def started(
    config: Config,
    world: World,
    folder: Path,
    interruption: Interruption,
    on_tokens: Callable[[int], None],
    own: Engine | None = None,
) -> Iterator[Generators]:
    """Start the generating processes and end them afterwards; models are loaded meanwhile.

    `folder` is where ranks find the key of the launch; `own` is an engine that generates in this process instead. Raises
    UserError if the model's tokenizer or configuration cannot be loaded.
    """
    if own is not None:
        if world.size > 1:
            raise UserError(f"an engine object runs in one process, but {world.size} were launched; launch one")
        yield Generators(own if isinstance(own, TokenCounter) else WordCounter(), own)
        return
    if config.model.engine == "scripted" and world.size == 1:
        engine = build_engine(config, world, on_tokens)
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
    with _fleet(config, world, folder, interruption, on_tokens) as generators:
        yield generators


@contextmanager
def _fleet(
    config: Config, world: World, folder: Path, interruption: Interruption, on_tokens: Callable[[int], None]
) -> Iterator[Generators]:
    check_model(config.model.engine, config.model.model_name_or_path, config.model.model_revision)
    key = LaunchKey(folder if world.size > 1 else None)
    process: BaseProcess | None = None
    try:
        connection, process = _start(config, world, key.key)
        # The child is loading the model by now; this process needs only the tokenizer, and one of the machine's cores.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        reader = build_reader(config)
        fleet = Fleet(world.size, reader.model_revision, _opener(world, connection), key.key, process, on_tokens)
        in_order = False
        try:
            yield Generators(reader, fleet, fleet)
            in_order = True
        finally:
            fleet.close(lambda: in_order and interruption.received is None)
    finally:
        if process is not None:
            process.kill()
        key.remove()


def serve(config: Config, world: World, folder: Path, interruption: Interruption) -> int:
    """Generate for rank 0 until it says stop, as every other rank does; return the exit code."""
    access = Access(_opener(world), partial(read_key, folder))
    worker = Worker(world.rank, world.size, partial(build_engine, config, world), access)
    interruption.tell(worker.end)
    succeeded = worker.run()
    return 128 + interruption.received if interruption.received else int(not succeeded)


def _opener(
    world: World, connection: Connection | None = None, hosts: bool = False
) -> Callable[[], StoreCarrier | PipeCarrier]:
    """Return what opens the channel of messages: the pipe between rank 0 and its child, or the store if there are
    other ranks.
    """
    if world.size == 1 and connection is not None:
        return partial(PipeCarrier, connection)
    # At the end of a launch the store may be gone first, and torch would print a stack of C++ calls. Read when it is imported.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Read now: while vLLM starts, its processes must not see the launcher's variables.
    environment = dict(os.environ)
    return lambda: StoreCarrier(open_store(world, hosts, environment))


def _start(config: Config, world: World, key: bytes) -> tuple[Connection, BaseProcess]:
    """Start rank 0's generating process; return the connection to it, and the process."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    # Not a daemon, which could not start vLLM's processes; `_fleet` ends it in any case.
    process = context.Process(target=_generate, args=(its, config, world, key), name="generation")
    # A signal from a terminal or a scheduler reaches both processes, and this one decides what to do: the child starts
    # with these signals blocked, and here they are held back until it has started. Starting multiprocessing's resource
    # tracker would let them through, so start that first.
    with _without_warnings():
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    its.close()
    return ours, process


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Inside, the tracker is started without warnings: it removes what vLLM's processes leave when they are killed."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    try:
        yield
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _generate(connection: Connection, config: Config, world: World, key: bytes) -> None:
    logs.configure(config.reporting.log_level)
    if config.run.batch_dir:
        logs.write_to(Path(config.run.batch_dir), 0, "generation")
    if "OMP_NUM_THREADS" not in os.environ:
        # Two processes with more threads than cores slow each other down, and embedding candidates keeps a core busy;
        # comparing words does not.
        judging = config.novelty.embedding_threshold is not None
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - judging))
    parent = multiprocessing.parent_process()
    assert parent is not None
    # Where the launcher keeps no store, this process does and not its parent: connections from outside can use up the files
    # that a process may open, and the parent has files to write.
    opened = cache(_opener(world, connection, hosts=True))
    access = Access(opened, lambda: key, parent.is_alive)
    try:
        Worker(0, world.size, partial(build_engine, config, world), access).run()
        if world.size > 1:
            # Ranks that start late still need the store, which lives as long as `opened`; the parent ends this process.
            parent.join(PATIENCE_SECONDS)
    finally:
        gc.freeze()  # as in commands/guard.py
