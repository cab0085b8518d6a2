"""Mistakes that people make, each tried with the real command: what was given, and what it says."""
