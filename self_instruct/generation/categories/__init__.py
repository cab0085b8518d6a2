"""Kinds of tasks as data: what is asked for, shown, required and compared, each kind in a YAML file of its own."""
