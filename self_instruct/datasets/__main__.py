"""`python -m self_instruct.datasets COMMAND`: the same as `self-instruct COMMAND`."""

import sys

from self_instruct.commands import DATASETS, dispatch

if __name__ == "__main__":
    dispatch(sys.argv[1:], DATASETS, "python -m self_instruct.datasets")
