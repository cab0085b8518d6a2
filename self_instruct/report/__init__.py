"""A report for eyes: one HTML file of runs or instruction files, with figures, examples and a table that can be searched."""
