"""Run commands in forks of a process that has the libraries loaded.

Importing torch, transformers and sentence-transformers takes a command some seconds, longer than its work in most tests. A
fork has its own memory, signals, working directory, environment, standard streams and exit code, and so has the process that
it forks to generate. Start a new process to test imports, set order (all forks share one hash seed), the start of the
generating process by `spawn`, and variables that libraries read when they are imported.

A small process has what every command needs. It forks a large one, which loads the libraries of models, when a command needs
those: a large process takes longer to fork. All workers of a parallel run share the two.
"""

import atexit
import contextlib
import gc
import json
import logging
import multiprocessing
import os
import runpy
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import import_module
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = "SELF_INSTRUCT_TESTS_COPIES"  # the variable with the folder of the sockets that the workers share
SMALL, LARGE = "small", "large"
NEED_LIBRARIES = {
    "--embedding_model_name_or_path", "--model_name_or_path", "--config", "--api_base", "launch", "--model",
}  # fmt: skip
LIBRARIES = (
    "transformers.models.auto.tokenization_auto", "transformers.models.gpt_bigcode.modeling_gpt_bigcode",
    "self_instruct.engines.local.engine", "self_instruct.engines.local.loading", "accelerate.commands.accelerate_cli",
    "sentence_transformers", "openai",
)  # fmt: skip


def start_server() -> tuple[Path, subprocess.Popen[bytes]]:
    """Start the process that is forked; return the folder of its sockets. It ends when its standard input is closed."""
    folder = Path(tempfile.mkdtemp(prefix="copies"))
    command = [sys.executable, "-m", "tests.support.copies", str(folder)]
    return folder, subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def end_server(folder: Path, server: subprocess.Popen[bytes]) -> None:
    """End the process and its large fork."""
    server.communicate()
    shutil.rmtree(folder, ignore_errors=True)


class Copies:
    """Starts forks: of the process that the workers share, or else of one of its own."""

    def __init__(self) -> None:
        self._folder: Path | None = None

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
        if self._folder is None:
            self._folder = Path(os.environ.get(SHARED, ""))
            if SHARED not in os.environ:
                self._folder, server = start_server()
                atexit.register(end_server, self._folder, server)
        large = environment.get("WORLD_SIZE", "1") != "1" or not NEED_LIBRARIES.isdisjoint(arguments)
        if large and not (self._folder / LARGE).exists():
            with _connected(self._folder / SMALL) as small:
                small.sendall(json.dumps(LARGE).encode() + b"\n")
        return Copy(_connected(self._folder / (LARGE if large else SMALL)), arguments, cwd, environment)


def _connected(path: Path, seconds: float = 600.0) -> socket.socket:
    """Connect to a process that may still be loading."""
    deadline = time.monotonic() + seconds
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Copy:
    """A running fork, with the part of the interface of `subprocess.Popen` that tests use."""

    def __init__(self, server: socket.socket, arguments: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self._server, self.args, self.returncode = server, arguments, None
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / name for name in ("out", "err")]
        self._server.sendall(
            json.dumps([arguments, str(cwd), environment, list(map(str, self._streams))]).encode() + b"\n"
        )
        self._answers = server.makefile("rb", buffering=0)  # so that `select` sees the second answer
        self.pid = int(self._answers.readline())

    def poll(self, seconds: float = 0.0) -> int | None:
        """Return the exit code, or None if it does not end within `seconds`."""
        if self.returncode is None and select.select([self._server], [], [], seconds)[0]:
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._server.close()
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


class Server:
    """Answers each command with the pid of a fork, and with its exit code when it has ended."""

    def __init__(self, folder: Path, name: str = SMALL) -> None:
        self._folder, self._loaded, self._has_large = folder, name == LARGE, name == LARGE
        self._waiting = selectors.DefaultSelector()
        self._socket = socket.socket(socket.AF_UNIX)
        self._input = os.fdopen(os.dup(0), "rb")
        self._socket.bind(str(folder / name))
        self._socket.listen(64)
        for each in (self._socket, self._input):
            self._waiting.register(each, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the standard input is closed, which the large process shares."""
        while True:
            for key, _ in self._waiting.select():
                if key.fileobj is self._input:
                    return
                if key.fileobj is self._socket:
                    self._waiting.register(self._socket.accept()[0], selectors.EVENT_READ)
                elif key.data:
                    self._report(key.fileobj, *key.data)
                else:
                    self._answer(key.fileobj)

    def _answer(self, connection: socket.socket) -> None:
        """Start what is asked for."""
        self._waiting.unregister(connection)
        with connection.makefile("r") as lines:
            message = json.loads(lines.readline())
        if not self._loaded:
            load_commands()
            self._loaded = True
        gc.freeze()  # frozen objects are never scanned by the garbage collector, so their memory stays shared
        if message == LARGE:
            connection.close()
            if not self._has_large and os.fork() == 0:
                self._close()
                load_libraries()
                Server(self._folder, LARGE).serve()
                os._exit(0)
            self._has_large = True
            return
        child = os.fork()
        if child == 0:
            connection.close()
            self._close()
            _become(*message)
        connection.sendall(b"%d\n" % child)
        self._waiting.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))

    def _report(self, pidfd: int, pid: int, connection: socket.socket) -> None:
        """Send the exit code of a fork that has ended."""
        self._waiting.unregister(pidfd)
        os.close(pidfd)
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def _close(self) -> None:
        """Close in a fork what belongs to this process."""
        for key in list(self._waiting.get_map().values()):
            if key.data:
                os.close(key.fd)
                key.data[1].close()
            else:
                key.fileobj.close()
        self._waiting.close()


def load_commands() -> None:
    """Import all commands, and load the machine code of the novelty search, which is done when it is first called."""
    from self_instruct.commands import COMMANDS, MODULES
    from self_instruct.novelty.rouge import RougeIndex

    for name in COMMANDS:
        import_module(f"self_instruct.commands.{MODULES.get(name, name)}")
    for module in ("generation.run", "generation.categories.recipe"):
        import_module(f"self_instruct.{module}")
    index = RougeIndex()
    index.add(["a"], ["Name three rivers."])
    index.nearest("Name a river.")


def load_libraries() -> None:
    """Import the libraries of models."""
    from self_instruct.engines.local.tokenizer import import_model_classes

    import_model_classes()
    for library in LIBRARIES:
        import_module(library)


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
    Server(Path(sys.argv[1])).serve()
