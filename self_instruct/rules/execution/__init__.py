"""Run code answers against tests, in each language that has a module here."""
