"""`python -m self_instruct.explain`: the same as `self-instruct explain`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("explain", sys.argv[1:])
