"""The files of a run directory, and how they survive crashes."""
