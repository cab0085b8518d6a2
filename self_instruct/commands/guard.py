"""End every command the same way: a user's mistake is one message and exit code 2, signal n is 128 + n, a full disk is 1."""

import gc
import json
import logging
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from self_instruct.engines.base import EngineLost
from self_instruct.errors import FILE_ONLY, UserError, naming
from self_instruct.generation.signals import Interrupted, Interruption, end_with_launcher
from self_instruct.runs import logs

SOME_UNREADABLE = 3
"""The exit code of a data command that is done, but could not read some rows."""
AFTER_FAILURE = "the journal is kept; run the same command again to continue"
"""The end of the message of a generation run when the disk fails, or a signal arrives before anything was generated."""
_log = logging.getLogger(__name__)


def guarded(command: Callable[[], int], after_failure: str = AFTER_FAILURE) -> None:
    """Run a command and exit with its code; a user's mistake is one message and code 2, without a traceback.

    `after_failure` ends the message when the disk fails, or a signal arrives before there is anything to save.
    """
    logs.configure()
    Interruption()  # a command that has something to save installs its own handlers later
    end_with_launcher()
    try:
        code = command()
        with naming("standard output"):
            sys.stdout.flush()
    except UserError as error:
        rank = f"rank {error.rank}: " if error.rank is not None else ""
        _fail(error, f"{rank}{error}", shown=bool(rank) or prints_messages())
        code = 2
    except EngineLost as error:
        _fail(error, str(error))
        code = 1
    except OSError as error:
        code = _failed(error, after_failure)
    except Interrupted as signalled:
        if prints_messages():
            print(f"Stopped: {signalled}; {after_failure}.", file=sys.stderr)
        code = 128 + signalled.number
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except Exception:
        _log.critical("unexpected exception", exc_info=True, extra=FILE_ONLY)
        _report_to_launcher(traceback.format_exc())
        raise
    finally:
        logs.close()
        # At exit the interpreter collects garbage several times, which takes a second with torch and transformers loaded; the
        # system frees the memory anyway.
        gc.freeze()
    sys.exit(code)


def _failed(error: OSError, after_failure: str) -> int:
    """Report a failure of the operating system, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader of our standard output has closed the pipe: nothing more can be printed, so end without a message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    file = f"{error.filename}: " if error.filename else ""
    _fail(error, f"{file}{error.strerror or error}; {after_failure}")
    return 1


def _fail(error: Exception, message: str, shown: bool = True) -> None:
    """Log an error, leave its message for the launcher, and print it if it is to be shown."""
    _log.error("%s", error, extra=FILE_ONLY)
    _report_to_launcher(f"error: {message}")
    if shown:
        # A line end in a file name must not make a line that looks like another message.
        print("error: " + re.sub(r"\n(?! )", "\n  ", message), file=sys.stderr)


def _report_to_launcher(text: str) -> None:
    """Write the text to torchelastic's error file, so that its summary of failed ranks ends with the text.

    The format is that of torch.distributed.elastic's ErrorHandler, which takes seconds to import.
    """
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        return
    text = logs.escaped(text)
    more = {"py_callstack": text, "timestamp": str(int(time.time()))}
    with suppress(OSError):
        Path(path).write_text(json.dumps({"message": {"message": text, "extraInfo": more}}), encoding="utf-8")


def prints_messages() -> bool:
    """Return whether this process prints messages that are the same on every rank: only local rank 0 does."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
