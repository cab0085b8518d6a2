"""Read instruction data in any common format; curate, convert, merge, clean, lint, decontaminate and publish it.

`import datasets` inside this package is the Hugging Face library, because all imports are absolute.
"""
