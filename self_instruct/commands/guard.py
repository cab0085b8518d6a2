"""How every command ends: a user's mistake is one message and exit code 2, a signal 128 + its number, a full disk 1."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable

from self_instruct.engines.base import EngineLost
from self_instruct.errors import FILE_ONLY, UserError
from self_instruct.generation.signals import Interrupted, Interruption
from self_instruct.runs import logs

SOME_UNREADABLE = 3
"""The exit code of commands that read data, when some of it could not be read and all else was done."""
AFTER_FAILURE = "what was journalled is kept, and the same command goes on"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""
_log = logging.getLogger(__name__)


def guarded(command: Callable[[], int], after_failure: str = AFTER_FAILURE) -> None:
    """Runs a command and exits with its code; a user's mistake is one message and code 2, without a traceback.

    `after_failure` is what a user has to know when the disk failed, or a signal came before there was anything to save.
    """
    logs.configure()
    Interruption()  # a command that has something to save makes its own
    try:
        code = command()
        sys.stdout.flush()
    except UserError as error:
        _log.error("%s", error, extra=FILE_ONLY)
        if error.rank is not None:
            print(f"error: rank {error.rank}: {error}", file=sys.stderr)
        elif speaks():
            print(f"error: {error}", file=sys.stderr)
        code = 2
    except EngineLost as error:
        _log.error("%s", error, extra=FILE_ONLY)
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except OSError as error:
        code = _failed(error, after_failure)
    except Interrupted as signalled:
        if speaks():
            print(f"Stopped: {signalled}; {after_failure}.", file=sys.stderr)
        code = 128 + signalled.number
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except Exception:
        _log.critical("a fault of the program", exc_info=True, extra=FILE_ONLY)
        raise
    finally:
        logs.close()
        # The interpreter looks for cycles among all that torch and transformers have made several times before it ends, a
        # second's work; the system takes the memory back anyway.
        gc.freeze()
    sys.exit(code)


def _failed(error: OSError, after_failure: str) -> int:
    """Says what the system could not do, and returns the exit code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has left; nothing more can be said, and the files are written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    _log.error("%s", error, extra=FILE_ONLY)
    place = f"{error.filename}: " if error.filename else ""
    print(f"error: {place}{error.strerror or error}; {after_failure}", file=sys.stderr)
    return 1


def speaks() -> bool:
    """Whether this process tells what every rank finds alike: one message a node is enough."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
