"""Read instruction data in any common format; curate, convert, merge, clean, lint, decontaminate and publish it.

`import datasets` inside this package imports the Hugging Face library, because all imports are absolute.
"""
