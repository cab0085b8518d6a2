"""Earlier names of commands, as `python -m self_instruct.judge`; the package finds them here too."""
