"""A plugin for runs that a test will disturb: its filter takes its time while a file exists, so that a run does not end before
the disturbance and needs no long script.
"""

import os
import time
from pathlib import Path

import self_instruct as si

FILE = "SLOW_WHILE"  # the variable with the path of the file
SECONDS = 0.05  # for each candidate
OPTIONS = ["--plugin", __file__, "--filter_rules", "empty", "slow"]


@si.register_filter("slow", reasons=["slow"])
def slow(record: si.Record) -> None:
    """Wait, and drop nothing."""
    if Path(os.environ[FILE]).exists():
        time.sleep(SECONDS)
