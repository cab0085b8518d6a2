"""Inspect runs and instruction files: the HTML report, the status of a run, and the explanation of one candidate."""
