"""`python -m self_instruct.status`: the same as `self-instruct status`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("status", sys.argv[1:])
