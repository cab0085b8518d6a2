"""`python -m self_instruct.judge`: the same as `self-instruct judge`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("judge", sys.argv[1:])
