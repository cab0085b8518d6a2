"""Several processes, one run: rank 0's process composes, judges and writes; processes that generate only move text.

world.py: who takes part, and how they find each other. channel.py: messages between two of them. worker.py: what a
process that generates does. pool.py: all of those as one engine. news.py: what they tell of themselves, taken together. There
is no collective operation, so none of them ever waits for a slower one.
"""
