"""`python -m self_instruct.refilter`: the same as `self-instruct refilter`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("refilter", sys.argv[1:])
