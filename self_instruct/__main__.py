"""`python -m self_instruct COMMAND`: the same as `self-instruct COMMAND`."""

from self_instruct.commands import main

if __name__ == "__main__":
    main()
