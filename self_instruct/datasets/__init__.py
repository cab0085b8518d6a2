"""Datasets of others, and ours: read in any of the usual formats, converted, merged, and cleared of benchmarks.

`import datasets` inside this package is the library of that name: all imports are absolute.
"""
