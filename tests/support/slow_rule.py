"""A plugin for runs that a test will disturb: its filter takes its time while a file exists, so that a run does not end before
the disturbance and needs no long script. Tests do not import it, because its rule would be checked like ours.
"""

import os
import time
from pathlib import Path

import self_instruct as si


@si.register_filter("slow", reasons=["slow"])
def slow(record: si.Record) -> None:
    """Drop nothing, but wait while there is the file that the variable SLOW_WHILE names."""
    if Path(os.environ["SLOW_WHILE"]).exists():
        time.sleep(0.05)
