"""Start the processes that generate, beside the one that composes, decides and writes.

Parsing and comparing in a thread would slow down generation in the same process considerably. So rank 0 generates in a child
process, and the other ranks only generate. A single rank replays a script in its own process. Rank 0 and its child exchange
messages through a pipe, or through the launcher's store if there are other ranks.
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
    """The token counter and the engine of a launch. `fleet` is the engine if other processes generate, else None."""

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
    """Start the generating processes, which load the model in the background, and end them on exit.

    `folder` is where ranks find the key of the launch; `on_tokens` is called with numbers of generated tokens; `own` is an
    engine that generates in this process instead. Raises UserError if the model's tokenizer or configuration cannot be loaded.
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
        # This process only sends requests, from a thread; the server generates.
        if world.size > 1:
            raise UserError(
                f"--engine openai needs one process to send all requests, but {world.size} were launched; use --num_processes 1"
            )
        server = build_endpoint(config, on_tokens)
        try:
            yield Generators(server, server)
        finally:
            server.close()
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
    """Generate for rank 0 until it stops this process, and return the exit code. All ranks but rank 0 run this."""
    access = Access(_opener(world), partial(read_key, folder))
    worker = Worker(world.rank, world.size, partial(build_engine, config, world), access)
    interruption.set_callback(worker.end)
    succeeded = worker.run()
    return 128 + interruption.received if interruption.received else int(not succeeded)


def _opener(
    world: World, connection: Connection | None = None, hosts: bool = False
) -> Callable[[], StoreCarrier | PipeCarrier]:
    """Return a function that opens the message channel: the pipe between rank 0 and its child, or the store if there are
    other ranks. `hosts` says that this process runs the store if the launcher does not.
    """
    if world.size == 1 and connection is not None:
        return partial(PipeCarrier, connection)
    # If the store closes first at the end of a launch, torch prints a C++ stack trace. torch reads this variable on import.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # Copy the launcher's variables now, because they are removed while vLLM starts.
    environment = dict(os.environ)
    return lambda: StoreCarrier(open_store(world, hosts, environment))


def _start(config: Config, world: World, key: bytes) -> tuple[Connection, BaseProcess]:
    """Start rank 0's generating process; return the connection to it, and the process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # A daemon process could not start vLLM's processes. `_fleet` kills this process in any case.
    process = context.Process(target=_generate, args=(theirs, config, world, key), name="generation")
    # A signal from a terminal or a scheduler reaches both processes, but only this one handles it: the child starts with
    # these signals blocked, and this process blocks them until then. Starting multiprocessing's resource tracker unblocks
    # some of them, so start it first.
    with _without_warnings():
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return ours, process


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the resource tracker that is started in this block: it warns about what killed vLLM processes leave behind."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    try:
        yield
    finally:
        del os.environ["PYTHONWARNINGS"]
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def _generate(connection: Connection, config: Config, world: World, key: bytes) -> None:
    """Run rank 0's generating process."""
    logs.configure(config.reporting.log_level)
    if config.run.batch_dir:
        logs.write_to(Path(config.run.batch_dir), 0, "generation")
    if "OMP_NUM_THREADS" not in os.environ:
        # Two processes with more threads than cores slow each other down, and embedding candidates keeps a core busy;
        # comparing words does not.
        embeds = config.novelty.embedding_threshold is not None
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - embeds))
    parent = multiprocessing.parent_process()
    assert parent is not None
    # If the launcher runs no store, this process does, and not its parent: connections from outside can use up a process's
    # open files, and the parent has files to write.
    opened = cache(_opener(world, connection, hosts=True))
    access = Access(opened, lambda: key, parent.is_alive)
    try:
        Worker(0, world.size, partial(build_engine, config, world), access).run()
        if world.size > 1:
            # Ranks that start late still need the store, which exists as long as `opened`; the parent ends this process.
            parent.join(PATIENCE_SECONDS)
    finally:
        gc.freeze()  # skips slow garbage collections at exit, as in commands/guard.py
