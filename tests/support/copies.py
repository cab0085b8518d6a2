"""Run commands in forks of a process that has the libraries loaded.

Importing torch, transformers and sentence-transformers takes a command some seconds, longer than its work in most
tests. A fork has its own memory, signals, working directory, environment, standard streams and exit code. Start a new
process to test imports, set order (all forks share one hash seed), and variables that libraries read when they are
imported.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Those that take long to import, by an option that has them needed. A small process is copied faster.
LIBRARIES = {
    "--embedding_model_name_or_path": "sentence_transformers",
    "--model_name_or_path": "transformers.models.auto.tokenization_auto",
    "--config": "transformers.models.auto.tokenization_auto",
}


class Copies:
    """The process that is forked, started on first use; it reads one command per line."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self, arguments: list[str], cwd: Path, environment: dict[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `SCRIPT ...` or `-m MODULE ...`. Raises `TimeoutExpired` if it takes longer."""
        if self._server is None:
            command = [sys.executable, "-m", "tests.support.copies"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._server = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
            atexit.register(self._server.communicate)
            self._answer(seconds)
        with tempfile.TemporaryDirectory() as folder:
            streams = [Path(folder) / name for name in ("out", "err")]
            message = [arguments, str(cwd), environment, list(map(str, streams))]
            self._server.stdin.write(json.dumps(message).encode() + b"\n")
            self._server.stdin.flush()
            pid = self._answer(seconds)
            try:
                code = self._answer(seconds)
            except subprocess.TimeoutExpired:
                os.kill(pid, signal.SIGKILL)
                self._answer(seconds)
                raise
            out, err = (path.read_bytes().decode().replace("\r\n", "\n") for path in streams)
        return subprocess.CompletedProcess(arguments, code, out, err)

    def _answer(self, seconds: float) -> int:
        if not select.select([self._server.stdout], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired(self._server.args, seconds)
        return int(self._server.stdout.readline())


def serve() -> None:
    """Load the libraries, and answer each line with the pid of a fork and later with its exit code."""
    from self_instruct.novelty.rouge import RougeIndex

    index = RougeIndex()  # machine code is loaded when it is first called
    index.add(["a"], ["Name three rivers."])
    index.nearest("Name a river.")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    answers.write(b"0\n")
    for line in sys.stdin:
        message = json.loads(line)
        for option, library in LIBRARIES.items():
            if option in message[0]:
                import_module(library)
        gc.freeze()  # frozen objects are never scanned by the garbage collector, so their memory stays shared
        child = os.fork()
        if child == 0:
            answers.close()
            _become(*message)
        answers.write(b"%d\n" % child)
        answers.write(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _become(arguments: list[str], cwd: str, environment: dict[str, str], streams: list[str]) -> None:
    """Run the script or module as the interpreter would, and exit."""
    for number, name in enumerate([os.devnull, *streams]):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
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
