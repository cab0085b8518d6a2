"""`python -m self_instruct.post_processing`: the same as `self-instruct curate`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("curate", sys.argv[1:])
