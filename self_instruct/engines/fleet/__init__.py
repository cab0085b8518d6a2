"""Several processes, one run: rank 0's process composes, decides and writes; the others only generate.

world.py: the processes of a launch. messages.py: signed messages over the launcher's own key-value store, or over a pipe where
there is no launcher. worker.py: a generating process. engine.py: all of them as one engine. There is no collective operation,
so no process ever waits for a slower one.
"""
