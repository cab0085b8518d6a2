"""Run commands in forks of a process that has the libraries loaded.

Importing torch, transformers and sentence-transformers takes a command some seconds, longer than its work in most tests. A
fork has its own memory, signals, working directory, environment, standard streams and exit code, and so has the process that
it forks to generate. Start a new process to test imports, set order (all forks share one hash seed), the start of the
generating process by `spawn`, and variables that libraries read when they are imported.
"""

import atexit
import gc
import json
import logging
import multiprocessing
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Slow imports, by the option or command that needs them, and of a launch with several ranks. A small process is forked faster.
TOKENIZER = ("transformers.models.auto.tokenization_auto",)
MODEL = (
    *TOKENIZER, "transformers.models.auto.modeling_auto", "transformers.models.gpt_bigcode.modeling_gpt_bigcode",
    "self_instruct.engines.local.engine", "self_instruct.engines.local.loading",
)  # fmt: skip
LIBRARIES = {
    "--embedding_model_name_or_path": ("sentence_transformers",),
    "--model_name_or_path": MODEL,
    "--config": MODEL,
    "launch": (*MODEL, "accelerate.commands.accelerate_cli"),
}


class Copies:
    """The process that is forked, started on first use. Each line that it reads starts a command or asks for an exit code."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `SCRIPT ...` or `-m MODULE ...`. Raises `TimeoutExpired` if it takes longer."""
        copy = self.start(arguments, cwd, environment)
        try:
            out, err = copy.communicate(seconds)
        except subprocess.TimeoutExpired:
            copy.kill()
            copy.communicate(seconds)
            raise
        return subprocess.CompletedProcess(arguments, copy.returncode, out, err)

    def start(self, arguments: list[str], cwd: Path, environment: dict[str, str]) -> "Copy":
        """Start one. Several can run at once, for example the ranks of a launch."""
        if self._server is None:
            command = [sys.executable, "-m", "tests.support.copies"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._server = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
            atexit.register(self._server.communicate)
        return Copy(self._server, arguments, cwd, environment)


class Copy:
    """A running fork, with the part of the interface of `subprocess.Popen` that tests use."""

    def __init__(
        self, server: subprocess.Popen[bytes], arguments: list[str], cwd: Path, environment: dict[str, str]
    ) -> None:
        self._server, self.args, self.returncode = server, arguments, None
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / name for name in ("out", "err")]
        self.pid = self._ask([arguments, str(cwd), environment, list(map(str, self._streams))])
        self._ended = os.pidfd_open(self.pid)  # can be read when the process has ended

    def _ask(self, message: object) -> int:
        self._server.stdin.write(json.dumps(message).encode() + b"\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def poll(self, seconds: float = 0.0) -> int | None:
        """Return the exit code, or None if it does not end within `seconds`."""
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = self._ask(self.pid)
            os.close(self._ended)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end and return its output. Raises `TimeoutExpired` if that takes longer."""
        if self.poll(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        # A copy that was killed at once has not created the files of its output.
        written = [path.read_bytes() if path.exists() else b"" for path in self._streams]
        out, err = (content.decode().replace("\r\n", "\n") for content in written)
        self._folder.cleanup()
        return out, err


def serve() -> None:
    """Load the libraries. Answer a command with the pid of a fork, and a pid with the exit code of that fork."""
    from self_instruct.commands import COMMANDS, MODULES
    from self_instruct.novelty.rouge import RougeIndex

    for name in COMMANDS:
        import_module(f"self_instruct.commands.{MODULES.get(name, name)}")
    for module in ("generation.run", "generation.categories.recipe"):
        import_module(f"self_instruct.{module}")
    index = RougeIndex()  # machine code is loaded when it is first called
    index.add(["a"], ["Name three rivers."])
    index.nearest("Name a river.")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    for line in sys.stdin:
        message = json.loads(line)
        if isinstance(message, int):
            answers.write(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(message, 0)[1]))
            continue
        for option, libraries in LIBRARIES.items():
            if option in message[0]:
                for library in TOKENIZER if libraries == MODEL and "scripted" in message[0] else libraries:
                    import_module(library)
        if message[2].get("WORLD_SIZE", "1") != "1":
            import_module("torch.distributed")
        gc.freeze()  # frozen objects are never scanned by the garbage collector, so their memory stays shared
        child = os.fork()
        if child == 0:
            answers.close()
            _become(*message)
        answers.write(b"%d\n" % child)


class _Generating(ForkProcess):
    """A forked process without its parent's signal and log handlers, as a spawned one is."""

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        logging.getLogger().handlers.clear()
        super().run()


class _Forking(ForkContext):
    """Replaces the `spawn` context in a fork."""

    Process = _Generating


def _become(arguments: list[str], cwd: str, environment: dict[str, str], streams: list[str]) -> None:
    """Run the script or module as the interpreter would, and exit."""
    for number, name in enumerate([os.devnull, *streams]):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.get_context = lambda method: _Forking()
    code: object = 0
    try:
        if arguments[0] == "-m":
            sys.argv, sys.path[0] = arguments[1:], cwd
            sys.modules.pop(arguments[1], None)
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = arguments, os.path.dirname(arguments[0])
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve()
