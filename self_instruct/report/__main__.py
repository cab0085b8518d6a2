"""`python -m self_instruct.report`: the same as `self-instruct report`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("report", sys.argv[1:])
