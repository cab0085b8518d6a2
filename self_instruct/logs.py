"""What goes to the error stream, and in what form: the same in every process of a run."""

import io
import logging
import sys


def configure() -> None:
    """Plain lines from the project, only errors from the libraries, and no failure on signs that the terminal has not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "transformers", "sentence_transformers", "datasets"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
