"""`python -m self_instruct.topics`: the same as `self-instruct topics`."""

import sys

from self_instruct.commands import run_command

if __name__ == "__main__":
    run_command("topics", sys.argv[1:])
